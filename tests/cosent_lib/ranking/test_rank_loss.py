"""rank_loss against exact arithmetic, brute force, autograd and the cases in which implementations go wrong."""

import math
import subprocess
import sys
import warnings
from pathlib import Path

import mpmath
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cosent_lib.ranking.fast import DENSE, SAFE_SPREAD, by_dense_sums, by_sums
from cosent_lib.ranking.rank_loss import (
    NoDemandedPairsWarning,
    count_demanded_pairs,
    inversion_bound,
    rank_loss,
)
from cosent_lib.ranking.reference import by_log_sums

LABELS = ("binary", "graded", "many grades", "continuous", "one high", "half")


def make_labels(kind: str, n: int, generator: torch.Generator) -> Tensor:
    match kind:
        case "binary":
            return torch.randint(0, 2, (n,), generator=generator)
        case "graded":
            return torch.randint(0, 6, (n,), generator=generator)
        case "many grades":  # with ties
            return torch.randint(0, max(2, n // 3), (n,), generator=generator)
        case "continuous":
            return torch.rand(n, generator=generator, dtype=torch.float64)
        case "one high":
            return (torch.arange(n) == n // 2).float()
        case "half":  # floating labels that are not whole numbers
            return torch.randint(0, 3, (n,), generator=generator) / 2
    raise AssertionError(kind)


def brute_force(scores: Tensor, labels: Tensor) -> Tensor:
    """The definition itself, by the n×n matrix, in float64."""
    s = scores.double()
    differences = (s[:, None] - s[None, :])[labels[:, None] < labels[None, :]]
    return torch.cat([s.new_zeros(1), differences]).logsumexp(0)


def exact(scores: list[float], labels: list[float]) -> tuple[mpmath.mpf, list[mpmath.mpf]]:
    """Value and gradient in 60 digits (more for huge scores: the exponentials are exact to working precision)."""
    with mpmath.workdps(60):
        s = [mpmath.mpf(x) for x in scores]
        n = len(s)
        terms = {(i, j): mpmath.exp(s[i] - s[j]) for i in range(n) for j in range(n) if labels[i] < labels[j]}
        total = 1 + mpmath.fsum(terms.values())
        gradient = [mpmath.fsum(e * ((i == k) - (j == k)) for (i, j), e in terms.items()) / total for k in range(n)]
        return mpmath.log(total), gradient


def tolerance(value: float, scores: Tensor) -> float:
    return 1e-12 * max(1.0, abs(value)) * max(1.0, float(scores.abs().max()))


def value_and_gradient(scores: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    scores = scores.clone().requires_grad_()
    loss = rank_loss(scores, labels, validate=False)
    return loss.detach(), torch.autograd.grad(loss, scores)[0]


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 30.0, 1e3, 1e4])
@pytest.mark.parametrize("kind", LABELS)
def test_equals_exact_arithmetic(kind: str, size: float) -> None:
    generator = torch.Generator().manual_seed(1)
    for n in (2, 3, 7, 20):
        scores = size * torch.randn(n, generator=generator, dtype=torch.float64)
        labels = make_labels(kind, n, generator)
        loss, gradient = value_and_gradient(scores, labels)
        expected, expected_gradient = exact(scores.tolist(), labels.tolist())
        assert abs(float(loss - float(expected))) <= tolerance(float(expected), scores)
        for got, want in zip(gradient.tolist(), expected_gradient, strict=True):
            assert abs(got - float(want)) <= tolerance(1.0, scores)


def test_tiny_values_are_not_rounded_to_zero() -> None:
    # Σ = e^−40: the plain log(1 + Σ) of float64 returns 0 here.
    scores = torch.tensor([0.0, 40.0], dtype=torch.float64)
    assert float(rank_loss(scores, torch.tensor([0, 1]))) == pytest.approx(math.exp(-40), rel=1e-12)
    assert math.log(1 + math.exp(-40)) == 0.0


@pytest.mark.parametrize("kind", LABELS)
def test_every_size_up_to_64_and_some_larger_against_brute_force(kind: str) -> None:
    generator = torch.Generator().manual_seed(2)
    for n in (*range(1, 65), 127, 128, 255, 300):
        size = (1e-6, 0.1, 1.0, 20.0, 400.0, 1e4)[n % 6]
        scores = size * torch.randn(n, generator=generator, dtype=torch.float64)
        labels = make_labels(kind, n, generator)
        loss, gradient = value_and_gradient(scores, labels)
        reference_scores = scores.clone().requires_grad_()
        reference = brute_force(reference_scores, labels)
        (reference_gradient,) = torch.autograd.grad(reference, reference_scores)
        assert abs(float(loss - reference.detach())) <= tolerance(float(loss), scores), n
        assert float((gradient - reference_gradient).abs().max()) <= tolerance(1.0, scores), n


@pytest.mark.parametrize("kind", LABELS)
def test_both_sides_of_the_switch_to_log_domain_sums_agree(kind: str) -> None:
    generator = torch.Generator().manual_seed(3)
    for spread in (0.999 * SAFE_SPREAD, 1.001 * SAFE_SPREAD):
        scores = torch.rand(200, generator=generator, dtype=torch.float64)
        scores = (scores - scores.min()) / (scores.max() - scores.min()) * spread
        labels = make_labels(kind, 200, generator)
        plain = by_sums(scores - (scores.min() + scores.max()) / 2, labels)
        logs = by_log_sums(scores, labels)
        torch.testing.assert_close(plain, logs, rtol=1e-12, atol=1e-12)
        assert value_and_gradient(scores, labels)[0] == (plain if spread < SAFE_SPREAD else logs)[0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", LABELS)
def test_narrow_types_give_the_float64_result_of_the_same_numbers(kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(5)
    for size in (1e-3, 1.0, 20.0, 1e4):
        scores = (size * torch.randn(130, generator=generator)).to(dtype)
        labels = make_labels(kind, 130, generator)
        loss, gradient = value_and_gradient(scores, labels)
        wide_loss, wide_gradient = value_and_gradient(scores.double(), labels)
        assert loss.dtype == torch.float32
        assert gradient.dtype == dtype
        torch.testing.assert_close(loss.double(), wide_loss, rtol=1e-6, atol=0)
        if dtype == torch.float32:
            torch.testing.assert_close(gradient.double(), wide_gradient, rtol=1e-6, atol=1e-37)
        else:  # the float32 result of the same inputs, rounded once at the very end
            torch.testing.assert_close(gradient, wide_gradient.to(dtype), rtol=0, atol=0)
            assert torch.equal(loss, value_and_gradient(scores.float(), labels)[0])


@pytest.mark.parametrize("kind", LABELS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_fast_form_is_the_readable_one_for_thousands_of_items(kind: str, dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(6)
    for n in (255, 256, 1023, 1024, 5000):
        scores = 5 * torch.randn(n, generator=generator, dtype=torch.float64)
        labels = make_labels(kind, n, generator).to(dtype) - 0.5
        labels[::7] *= -1  # negative labels, and both zeros where there are any
        torch.testing.assert_close(by_sums(scores, labels), by_log_sums(scores, labels), rtol=1e-11, atol=1e-13)


def test_a_level_that_the_first_labels_do_not_show_is_found() -> None:
    scores = torch.randn(3000, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    for levels in (2, 3):
        labels = torch.arange(3000) % levels
        labels[-1] = 9
        torch.testing.assert_close(by_sums(scores, labels), by_log_sums(scores, labels), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("kind", LABELS)
def test_both_sides_of_the_switch_from_the_matrix_of_demands_agree(kind: str) -> None:
    generator = torch.Generator().manual_seed(12)
    for n in (2, 31, DENSE - 1, DENSE, DENSE + 1):
        scores = torch.randn(n, generator=generator, dtype=torch.float64)
        labels = make_labels(kind, n, generator)
        for length, fits in ((0.999 * SAFE_SPREAD / 2, True), (1.001 * SAFE_SPREAD / 2, False)):
            s = scores * length / scores.norm()
            before = s.clone()
            dense, expected = by_dense_sums(s, labels), by_log_sums(s, labels)
            assert (dense is not None) == fits
            assert torch.equal(s, before)
            for found in (dense or expected, by_sums(s, labels), value_and_gradient(s, labels)):
                torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-12)
    one = torch.tensor([SAFE_SPREAD / 2, 0.0], dtype=torch.float64)  # all of the length in one score
    torch.testing.assert_close(by_dense_sums(one, torch.tensor([0, 1])), by_log_sums(one, torch.tensor([0, 1])))
    assert by_dense_sums(torch.tensor([math.nan, 0.0]), torch.tensor([0, 1])) is None


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64])
def test_many_levels_with_equal_ones_anywhere(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(13)
    scores = 5 * torch.randn(1100, generator=generator) + 70
    runs = torch.arange(1100)
    for labels in (
        runs,  # no two equal, as far as the type can tell
        runs.clamp(30, 1000),  # the lowest and the highest shared by many
        runs // 2,
        (runs % 300).clamp_min(200),
        runs - 550,  # negative ones too
        torch.where(runs < 50, -runs, runs // 7),
    ):
        y = labels[torch.randperm(1100, generator=generator)].to(dtype)
        if dtype.is_floating_point:
            y[y == 0] *= -torch.ones(int((y == 0).sum())).to(dtype)  # −0 is the level of 0
        y[::9] = y[::9].abs()
        expected = by_log_sums(scores.double(), y)
        for shown in (scores, scores.double()):
            before = shown.clone()
            torch.testing.assert_close(by_sums(shown, y, None, 70.0), expected, rtol=1e-11, atol=1e-13)
            assert torch.equal(shown, before)


def test_equal_labels_of_thousands_demand_nothing_and_the_caller_is_told() -> None:
    for n in (DENSE, DENSE + 1, 2000):
        scores = torch.randn(n, requires_grad=True)
        with pytest.warns(NoDemandedPairsWarning, match=f"rank_loss: all labels are equal \\({n} items\\)") as told:
            loss = rank_loss(scores, torch.full((n,), 0.5))
        assert told[0].filename == __file__
        assert loss.item() == 0
        assert torch.equal(torch.autograd.grad(loss, scores)[0], torch.zeros(n))


def test_a_loss_that_underflows_is_not_taken_for_one_without_demands() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank_loss(torch.tensor([-1000.0, 1000.0]), torch.tensor([0, 1])).item() == 0


@pytest.mark.filterwarnings("error::RuntimeWarning")  # of numpy's, where sums overflow
@pytest.mark.parametrize("label_dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_checks_for_any_two_types(dtype: torch.dtype, label_dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(14)
    for n in (20, 200, 2000):
        scores = (3 * torch.randn(n, generator=generator)).to(dtype)
        labels = (100 * torch.rand(n, generator=generator)).to(label_dtype)
        torch.testing.assert_close(
            rank_loss(scores, labels).double(), brute_force(scores, labels), rtol=1e-6, atol=1e-6
        )
        large = torch.full_like(scores, torch.finfo(dtype).max) * (labels > 50).to(dtype)  # sums of these overflow
        assert math.isfinite(rank_loss(large, labels))  # and so are not refused
        for name, values in (("scores", scores), ("labels", labels))[: 1 + label_dtype.is_floating_point]:
            for wrong in (math.nan, math.inf, -math.inf):
                bad = {"scores": scores, "labels": labels} | {name: values.clone()}
                bad[name][-1] = wrong
                with pytest.raises(ValueError, match=f"{name} must be finite: 1 of {n} are not, the first at"):
                    rank_loss(bad["scores"], bad["labels"])


MEMORY = """
import sys, torch
from cosent_lib import rank_loss
n = 1 << 21
torch.set_num_threads(1)
scores, drawn = torch.randn(n, requires_grad=True), torch.rand(n)
labels = {"two": (drawn < 0.4).float(), "six": (6 * drawn).floor(), "all": drawn, "ties": (500 * drawn).floor()}
def read(name):
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name)) * 1024
for kind in sys.argv[1:]:
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    before = read("VmRSS")
    rank_loss(scores, labels[kind]).backward()
    scores.grad = None
    print((read("VmHWM") - before) / n)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak from Linux's /proc")
def test_needs_at_most_64_bytes_a_score() -> None:
    command = [sys.executable, "-c", MEMORY, "two", "six", "all", "ties"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(8 < float(peak) <= 64 for peak in told.split()), told
    assert len(told.split()) == 4


def by_segment(scores: Tensor, labels: Tensor, segments: Tensor) -> Tensor:
    """The definition: the mean of the segments' losses, over those that demand something."""
    parts = [(scores[segments == each], labels[segments == each]) for each in segments.unique()]
    losses = [brute_force(s, y) for s, y in parts if (y != y[0]).any()]
    return torch.stack(losses).mean() if losses else scores.sum() * 0


@pytest.mark.parametrize("size", [0.1, 5.0, 400.0, 1e4])
@pytest.mark.parametrize("kind", LABELS)
def test_segments_are_compared_within_themselves_alone(kind: str, size: float) -> None:
    generator = torch.Generator().manual_seed(8)
    for n, count in ((1, 1), (2, 1), (2, 2), (9, 3), (40, 11), (64, 64), (300, 4), (300, 100)):
        scores = size * torch.randn(n, generator=generator, dtype=torch.float64)
        labels = make_labels(kind, n, generator)
        segments = torch.randint(-count, count, (n,), generator=generator)
        ours, reference = scores.clone().requires_grad_(), scores.clone().requires_grad_()
        loss, expected = (
            rank_loss(ours, labels, segments=segments, validate=False),
            by_segment(reference, labels, segments),
        )
        got, want = (torch.autograd.grad(value, x)[0] for value, x in ((loss, ours), (expected, reference)))
        assert abs(float(loss.detach() - expected.detach())) <= tolerance(float(expected.detach()), scores), (n, count)
        assert float((got - want).abs().max()) <= tolerance(1.0, scores), (n, count)


def test_one_segment_is_no_segment_and_far_segments_do_not_disturb_each_other() -> None:
    generator = torch.Generator().manual_seed(9)
    scores, labels = torch.randn(50, generator=generator, dtype=torch.float64), torch.arange(50) % 3
    assert rank_loss(scores, labels, segments=torch.full((50,), 7)) == pytest.approx(float(rank_loss(scores, labels)))
    apart = torch.cat([scores - 150, scores + 150])  # e^{±150}: one segment's sums are nothing beside the other's
    twice = rank_loss(apart, labels.repeat(2), segments=torch.arange(2).repeat_interleave(50))
    assert twice == pytest.approx(float(rank_loss(scores, labels)), rel=1e-12)


def test_in_batch_negatives_are_rank_loss_with_segments() -> None:
    from cosent_lib.losses.in_batch import MultipleNegativesRankingLoss

    generator = torch.Generator().manual_seed(10)
    u, v = torch.randn(2, 12, 6, generator=generator, dtype=torch.float64)
    ours, theirs = (u.clone().requires_grad_() for _ in range(2))
    cosines = torch.nn.functional.normalize(ours) @ torch.nn.functional.normalize(v).T
    row = torch.arange(12).repeat_interleave(12)
    loss = rank_loss(20 * cosines.flatten(), torch.eye(12).flatten(), segments=row)
    expected = MultipleNegativesRankingLoss(20.0)(theirs, v, torch.ones(12))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    gradients = torch.autograd.grad(loss, ours)[0], torch.autograd.grad(expected, theirs)[0]
    torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (torch.zeros(4), "segments must be whole numbers, got torch.float32"),
        (torch.zeros(3, dtype=torch.long), r"segments must have the shape of scores, \[4\], got \[3\]"),
    ],
)
def test_bad_segments_are_named(segments: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_loss(torch.randn(4), torch.arange(4), segments=segments)


def test_segments_of_equal_labels_demand_nothing_and_say_so() -> None:
    scores = torch.randn(6, requires_grad=True)
    with pytest.warns(NoDemandedPairsWarning, match="all labels are equal within each segment"):
        loss = rank_loss(scores, torch.tensor([0, 0, 1, 1, 2, 2]), segments=torch.tensor([0, 0, 1, 1, 2, 2]))
    assert float(loss) == 0
    assert torch.autograd.grad(loss, scores)[0].tolist() == [0] * 6


def test_autocast_changes_nothing() -> None:
    scores, labels = torch.linspace(-3, 3, 50), torch.arange(50).flip(0) % 7
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = rank_loss(scores, labels)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, rank_loss(scores, labels))


@pytest.mark.parametrize("kind", LABELS)
def test_gradcheck_and_second_derivatives(kind: str) -> None:
    generator = torch.Generator().manual_seed(6)
    scores = torch.randn(9, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = make_labels(kind, 9, generator)
    assert torch.autograd.gradcheck(lambda s: rank_loss(s, labels), scores)
    assert torch.autograd.gradgradcheck(lambda s: rank_loss(s, labels), scores)
    hessian = torch.autograd.functional.hessian(lambda s: rank_loss(s, labels), scores)
    reference = torch.autograd.functional.hessian(lambda s: brute_force(s, labels), scores)
    torch.testing.assert_close(hessian, reference, rtol=1e-10, atol=1e-12)
    assert float(torch.linalg.eigvalsh(hessian).min()) > -1e-12  # convex in the scores


@pytest.mark.parametrize("n", [DENSE + 20, 1100])
@pytest.mark.parametrize("kind", LABELS)
def test_gradcheck_of_larger_batches(kind: str, n: int) -> None:
    generator = torch.Generator().manual_seed(15)
    scores = torch.randn(n, generator=generator, dtype=torch.float64, requires_grad=True)
    labels = make_labels(kind, n, generator)
    assert torch.autograd.gradcheck(lambda s: rank_loss(s, labels), scores, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda s: rank_loss(s, labels), scores, fast_mode=True)


@pytest.mark.parametrize("kind", LABELS)
def test_gradcheck_and_second_derivatives_with_segments(kind: str) -> None:
    generator = torch.Generator().manual_seed(11)
    scores = torch.randn(9, generator=generator, dtype=torch.float64, requires_grad=True)
    labels, segments = make_labels(kind, 9, generator), torch.arange(9) % 3

    def loss(s: Tensor) -> Tensor:
        return rank_loss(s, labels, segments=segments, validate=False)

    assert torch.autograd.gradcheck(loss, scores)
    assert torch.autograd.gradgradcheck(loss, scores)


def test_gradient_flows_through_what_made_the_scores() -> None:
    x = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([1, 0, 0])
    rank_loss(4 * x, labels).mul(3).backward()
    y = x.detach().clone().requires_grad_()
    brute_force(4 * y, labels).mul(3).backward()
    torch.testing.assert_close(x.grad, y.grad)


def test_is_torch_cross_entropy_when_one_item_is_high() -> None:
    logits = torch.tensor([1.2, -0.7, 3.1, 0.4], dtype=torch.float64)
    for target in range(4):
        labels = (torch.arange(4) == target).double()
        expected = torch.nn.functional.cross_entropy(logits, torch.tensor(target))
        torch.testing.assert_close(rank_loss(logits, labels), expected)


@pytest.mark.parametrize(
    ("scores", "labels"),
    [([], []), ([2.5], [1]), ([1.0, -3.0, 2.0], [1, 1, 1])],
    ids=["empty", "single", "all equal"],
)
def test_nothing_demanded_is_exactly_zero_and_says_so(scores: list[float], labels: list[int]) -> None:
    s = torch.tensor(scores, requires_grad=True)
    with pytest.warns(NoDemandedPairsWarning, match="no pair is demanded"):
        loss = rank_loss(s, torch.tensor(labels))
    assert loss.item() == 0.0
    loss.backward()
    assert torch.equal(s.grad, torch.zeros_like(s))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert rank_loss(s, torch.tensor(labels), validate=False).item() == 0.0


@pytest.mark.parametrize(
    ("scores", "labels", "message"),
    [
        (torch.tensor([1, 2]), torch.tensor([0, 1]), r"scores must be floating point, got torch.int64"),
        (torch.rand(3, 4), torch.rand(3, 4), r"scores must have shape \[n\], got \[3, 4\]"),
        (torch.rand(3), torch.rand(4), r"labels must have the shape of scores, \[3\], got \[4\]"),
        (torch.rand(3), torch.rand(3, 1), r"labels must have the shape of scores, \[3\], got \[3, 1\]"),
        (
            torch.tensor([0.0, math.nan, math.inf]),
            torch.tensor([0, 1, 1]),
            r"scores must be finite: 2 of 3 are not, the first at index 1 \(nan\)",
        ),
        (
            torch.tensor([0.0, 1.0]),
            torch.tensor([0.0, -math.inf]),
            r"labels must be finite: 1 of 2 are not, the first at index 1 \(-inf\)",
        ),
        (torch.rand(2), torch.rand(2) * 1j, r"labels must be real numbers, got torch.complex64"),
        (torch.rand(2), torch.rand(2, device="meta"), r"labels are on meta, scores on cpu"),
    ],
)
def test_bad_input_says_which_where_and_how_many(scores: Tensor, labels: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rank_loss(scores, labels)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.integers(0, 12)), min_size=2, max_size=40),
    st.floats(-30, 30),
)
def test_invariances(items: list[tuple[float, int]], shift: float) -> None:
    s = torch.tensor([item[0] for item in items], dtype=torch.float64)
    y = torch.tensor([item[1] for item in items])
    loss = rank_loss(s, y, validate=False)
    for same in (
        rank_loss(s + shift, y, validate=False),  # only differences count
        rank_loss(s, y**3 + 5, validate=False),  # any rising relabelling
        rank_loss(-s, -y, validate=False),  # turning both orders round
        rank_loss(s.flip(0), y.flip(0), validate=False),  # the order of the items
    ):
        torch.testing.assert_close(loss, same, rtol=1e-11, atol=1e-11)


def test_accepts_labels_of_any_real_type() -> None:
    scores = torch.tensor([0.2, -0.5, 0.1])
    expected = rank_loss(scores, torch.tensor([0.0, 1.0, 0.0]))
    for labels in (
        torch.tensor([False, True, False]),
        torch.tensor([0, 1, 0], dtype=torch.uint8),
        torch.tensor([0, 1, 0]).bfloat16(),
    ):
        assert torch.equal(rank_loss(scores, labels), expected)


def test_no_quadratic_memory() -> None:
    n = 200_000  # an n×n matrix of bytes would take 40 GB
    generator = torch.Generator().manual_seed(7)
    scores = torch.randn(n, generator=generator, requires_grad=True)
    labels = torch.rand(n, generator=generator)
    loss = rank_loss(scores, labels)
    loss.backward()
    loss = loss.detach()
    # A sample of the gradient against the sums of the definition, one row and one column at a time.
    s, g = scores.detach().double(), scores.grad.double()
    for i in (0, 777, n - 1):
        row = (s[i] - s[labels > labels[i]] - loss.double()).exp().sum()
        column = (s[labels < labels[i]] - s[i] - loss.double()).exp().sum()
        assert float(g[i]) == pytest.approx(float(row - column), rel=1e-5, abs=1e-12)


def test_compiles_without_a_graph_break() -> None:
    compiled = torch.compile(lambda s, y: rank_loss(s, y, validate=False), fullgraph=True, backend="aot_eager")
    s, y = torch.randn(30, requires_grad=True), torch.randint(0, 3, (30,))
    loss = compiled(s, y)
    (gradient,) = torch.autograd.grad(loss, s)
    want_loss, want_gradient = value_and_gradient(s.detach(), y)
    torch.testing.assert_close((loss.detach(), gradient), (want_loss, want_gradient))


@pytest.mark.cuda
@pytest.mark.parametrize("kind", LABELS)
def test_cuda_equals_cpu_without_synchronising(kind: str) -> None:
    generator = torch.Generator().manual_seed(8)
    for size in (1e-3, 1.0, 1e4):
        scores = size * torch.randn(300, generator=generator)
        labels = make_labels(kind, 300, generator)
        on_device, labels_on_device = scores.cuda(), labels.cuda()
        torch.cuda.set_sync_debug_mode("error")
        try:
            loss, gradient = value_and_gradient(on_device, labels_on_device)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        torch.testing.assert_close((loss.cpu(), gradient.cpu()), value_and_gradient(scores, labels))


def test_count_demanded_pairs_by_hand() -> None:
    assert count_demanded_pairs(torch.tensor([0, 1, 1])) == 2
    assert count_demanded_pairs(torch.tensor([0.0, 0.5, 1.0])) == 3
    assert count_demanded_pairs(torch.tensor([1, 1])) == 0


def test_inversion_bound_holds_and_is_sharp_in_its_edge_cases() -> None:
    generator = torch.Generator().manual_seed(9)
    for _ in range(50):
        scores = torch.randn(40, generator=generator, dtype=torch.float64)
        labels = torch.randint(0, 4, (40,), generator=generator)
        demanded = labels[:, None] < labels[None, :]
        inverted = (scores[:, None] >= scores[None, :]) & demanded
        bound = inversion_bound(rank_loss(scores, labels), labels)
        assert int(inverted.sum()) / int(demanded.sum()) <= bound
    ties = torch.zeros(4, dtype=torch.float64)
    labels = torch.tensor([0, 0, 1, 1])
    assert inversion_bound(rank_loss(ties, labels), labels) == pytest.approx(1.0)  # every pair tied: all count
    assert math.isnan(inversion_bound(0.0, torch.tensor([1, 1])))
    assert inversion_bound(1e4, labels) == math.inf


@pytest.mark.parametrize("segmented", [False, True])
def test_labels_made_in_inference_mode_or_lazily_negated_are_taken(segmented: bool) -> None:
    numbers = torch.tensor([0.0, 2.0, 1.0, 1.0, 3.0])
    with torch.inference_mode():
        inferred, segments = numbers * 1, torch.tensor([0, 0, 1, 1, 1])
    negated = torch.complex(torch.zeros(5), -numbers).conj().imag
    assert inferred.is_inference()
    assert negated.is_neg()
    found = []
    for labels in (numbers, inferred, negated):
        scores = torch.tensor([0.3, -1.0, 2.0, 0.1, 0.5], dtype=torch.float64, requires_grad=True)
        loss = rank_loss(scores, labels, segments=segments if segmented else None)
        loss.backward()
        found.append((loss.item(), scores.grad.tolist()))
    assert found[1] == found[0] == found[2]
