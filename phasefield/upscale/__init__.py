"""From effective properties of one microstructure to what macro-scale models take: statistics, records, cards, surrogates."""
