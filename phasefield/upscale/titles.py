"""How the titles of files begin, by which they are known; apart from what makes them, so that readers need not load it."""

STATISTICS = "Statistics of effective properties"
PREDICTION = "Effective properties predicted"
