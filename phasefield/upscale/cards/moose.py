from .content import Card


def lines(card: Card) -> list[str]:
    return []
