"""How much each class's errors count."""


def compute_class_weight(counts: dict[str, int], how: str) -> dict[int, float] | None:
    """Weight of each class by number: None, or so that all classes count alike in sum (n / (classes × n of the class)).

    counts: images of each class, in the order of their numbers. how: none or balanced.
    """
    if how == "none":
        return None
    total = sum(counts.values())
    return {number: total / (len(counts) * count) for number, count in enumerate(counts.values())}
