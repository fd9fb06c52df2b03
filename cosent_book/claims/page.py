"""The texts of the page *Claims*: a line for each claim, and its comparisons one by one."""

from collections.abc import Sequence

import pandas as pd

from cosent_book.claims.declared import CLAIMS
from cosent_book.claims.evidence import EPOCHS, Claim, Evidence, Finding, Outcome, verdict_of
from cosent_book.tables import MISSING, decimals, with_half_width

UNTRIED = "not tried"
_SAYS: dict[Outcome, str] = {"holds": "holds", "open": "open", "contradicts": "against"}
_ROLES = {"sets": "its sets", "encoders": "other encoder", "budgets": "other budget"}
METRICS = {
    "test_spearman": "Spearman", "test_retrieval_mrr": "reciprocal rank", EPOCHS: "epochs needed",
    "best_test_top_auc": "AUC of the highest label", "best_test_query_order": "order within queries",
    "stsb_zh/test_spearman": "Spearman on STS-B zh",
}  # fmt: skip


def overview(evidence: Evidence, claims: Sequence[Claim] = CLAIMS) -> pd.DataFrame:
    """A line of texts for each claim: what it says, where, on what it was tried and what became of it."""
    lines = []
    for claim in claims:
        found = evidence.findings(claim)
        own = [each for each in found if each.role == "sets"]
        others = {role: [each.over_seeds for each in found if each.role == role] for role in _ROLES}
        pairs = [each.over_pairs for each in own if each.over_pairs is not None]
        lines.append(
            {
                "claim": claim.text, "chapter": str(claim.chapter), "verdict": verdict_of(found),
                "over seeds": counted(others["sets"]), "over test pairs": counted(pairs),
                "other encoders": counted(others["encoders"]), "other budgets": counted(others["budgets"]),
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def comparisons(findings: Sequence[Finding]) -> pd.DataFrame:
    """A line of texts for each comparison of a claim."""
    return pd.DataFrame(
        {
            "tried on": _ROLES[each.role], "suite": each.place.suite, "set": each.place.task,
            "encoder": " ".join(text for text in (each.place.encoder, each.place.alter) if text),
            "compared": f"{each.place.row} − {each.place.base}", "metric": METRICS[each.place.metric],
            "difference": with_half_width(each.difference, each.half_width, signed=True),
            "seeds": str(each.seeds), "epochs": f"{each.epochs:.1f}",
            "over test pairs": " to ".join(decimals(end, 1, signed=True) for end in each.pairs or ()) or MISSING,
            "seeds say": _SAYS[each.over_seeds],
            "pairs say": MISSING if each.over_pairs is None else _SAYS[each.over_pairs],
        }
        for each in findings
    )  # fmt: skip


def counted(outcomes: Sequence[Outcome]) -> str:
    """Such as ``2 of 3 hold, 1 against``.

    Example:
        >>> counted(["holds", "holds", "contradicts"]), counted(["open"]), counted([])
        ('2 of 3 hold, 1 against', '0 of 1 hold', 'not tried')
    """
    if not outcomes:
        return UNTRIED
    against = outcomes.count("contradicts")
    holds = f"{outcomes.count('holds')} of {len(outcomes)} hold"
    return f"{holds}, {against} against" if against else holds
