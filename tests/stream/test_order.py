from hypothesis import given
from hypothesis import strategies as st

from kit.stream.order import Order


@given(st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_all_come_out_once_in_the_order_of_the_frames(kept: list[bool], random: object) -> None:
    order: Order[int] = Order()
    numbers = [n * 3 for n in range(len(kept))]  # frames between them were dropped before they were expected
    for number in numbers:
        order.expect(number)
    coming = list(zip(numbers, kept, strict=True))
    random.shuffle(coming)  # type: ignore[attr-defined]
    given_out = [item for number, keep in coming for item in order.come(number, number if keep else None)]
    assert given_out == [number for number, keep in zip(numbers, kept, strict=True) if keep]


def test_one_waits_for_those_before_it_only() -> None:
    order: Order[str] = Order()
    order.expect(1)
    order.expect(2)
    assert order.come(2, "two") == []
    order.expect(3)
    assert order.come(1, "one") == ["one", "two"]
    assert order.come(3, "three") == ["three"]
