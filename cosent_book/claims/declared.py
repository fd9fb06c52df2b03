"""The claims of Parts II and III, as the chapters make them.

To add one, put its sentence here and mark it in its chapter (``<!-- claim: NAME -->``). When a set or a row is
recorded, add it to `RECORDED` of the paired differences; `tests/cosent_book/claims` says which verdicts it changes.
"""

from cosent_book.claims.evidence import EPOCHS, Claim, Place
from cosent_book.measurements.difference import RECORDED
from cosent_book.suites.central import E5_TASKS

GRADED = ("stsb_en", "stsb_zh")
BINARY = ("bq",)
BRIEF_SETS = ("stsb_en", "stsb_zh", "bq", "atec", "lcqmc")
SUGGESTED, FOLLOWED, TUNED = "CoSENT, λ suggested", "CoSENT, λ followed", "CoSENT, λ tuned"
CUSTOMARY, LEARNED = "CoSENT, λ = 20", "CoSENT, λ learned"
TWO, SIX = "Sentence-BERT, 2 classes", "Sentence-BERT, 6 classes"
SQUARED, LINEAR, MARGIN, CONTRASTIVE = "squared cosine", "linear cosine", "cosine with margin", "contrastive"
RANKNET, IN_BATCH = "RankNet, λ tuned", "in-batch negatives, scale tuned"
MIXED, SYMMETRIC, CERTAIN = "power mean, κ = −0.3", "power mean, κ = −1", "power mean, κ = 1"


def _table(
    row: str, base: str, tasks: tuple[str, ...] | None = None, metric: str = "test_spearman"
) -> tuple[Place, ...]:
    """Trained until validation stops improving, on every set of which both rows are recorded unless ``tasks`` says."""
    tasks = tasks or tuple(task for task, rows in RECORDED.items() if {row, base} <= set(rows))
    return tuple(Place(suite="table", task=task, row=row, base=base, metric=metric) for task in tasks)


def _brief(row: str, base: str, tasks: tuple[str, ...] = BRIEF_SETS) -> tuple[Place, ...]:
    """The same sets after one epoch (five of STS-B), four candidates each."""
    return tuple(Place(suite="main", task=task, row=row, base=base) for task in tasks)


def _e5(row: str, base: str) -> tuple[Place, ...]:
    """The pretrained encoder in a narrow cone, up to three epochs."""
    altered = {
        task: " ".join(f"{name}={alter[name]}" for name in sorted(alter)) for task, (_, alter) in E5_TASKS.items()
    }
    return tuple(
        Place(suite="e5", task=task, encoder="e5", alter=alter, row=row, base=base) for task, alter in altered.items()
    )


def _small(row: str, base: str) -> tuple[Place, ...]:
    """Two layers from scratch, two seeds, settings as they come."""
    return tuple(
        Place(
            suite="main", task=task, encoder="small", row=row, base=base, alter="take=64000" if task == "lcqmc" else ""
        )
        for task in ("stsb_en", "atec", "lcqmc")
    )


def _minilm(row: str, base: str) -> tuple[Place, ...]:
    return (Place(suite="minilm", task="stsb_en", encoder="minilm", row=row, base=base, rate=2e-5),)


def _flips(row: str, base: str) -> tuple[Place, ...]:
    """A fifth of the training labels turned round, validation labels right, λ = 20."""
    sets = {"bq": "flip=0.2", "stsb_zh": "flip=0.2", "lcqmc": "flip=0.2 take=64000"}
    return tuple(Place(suite="flips", task=task, alter=alter, row=row, base=base) for task, alter in sets.items())


def _family(row: str, base: str, metric: str = "test_spearman") -> tuple[Place, ...]:
    sets = {"stsb_en": "", "bq": "", "atec": "", "lcqmc": "take=64000", "stsb_zh": ""}
    return tuple(
        Place(suite="family", task=task, alter=alter, row=row, base=base, metric=metric) for task, alter in sets.items()
    )


def _grades(row: str, count: int, base: str, base_count: int, tasks: tuple[str, ...] = GRADED) -> tuple[Place, ...]:
    """STS-B with so many grades in training and validation, all of them on test; three rates, ten epochs at most."""
    return tuple(
        Place(
            suite="grades", task=task, row=f"{row}, {count} grades", alter=f"levels={count}",
            base=f"{base}, {base_count} grades", base_alter=f"levels={base_count}",
        )
        for task in tasks
    )  # fmt: skip


_ENTAILED = "validation_places=[0, 0, 1]"


def _nli(row: str, base: str, metric: str, places: str = "", base_places: str = "") -> tuple[Place, ...]:
    """OCNLI, in the order that ``places`` name."""
    alter, base_alter = (f"places={each} {_ENTAILED}" if each else _ENTAILED for each in (places, base_places))
    return (
        Place(suite="nli", task="ocnli", row=row, base=base, alter=alter, base_alter=base_alter, metric=metric),
    )  # fmt: skip


def _segments(metric: str) -> tuple[Place, ...]:
    """OCNLI compared across all premises against within each, at each λ."""
    return tuple(
        Place(
            suite="segments", task="ocnli", row=f"across, λ = {scale}", base=f"within, λ = {scale}",
            base_alter="query=sentence1", metric=metric,
        )
        for scale in ("1.25", "5", "20")
    )  # fmt: skip


SUS, NEAR, PART = "CoSENT, E > N > C", "CoSENT, E > C > N", "CoSENT, E > {N, C}"
HEAD = "Sentence-BERT, 3 classes"
TOP, CARRIED, IN_LISTS = "best_test_top_auc", "stsb_zh/test_spearman", "best_test_query_order"


CLAIMS: tuple[Claim, ...] = (
    Claim(
        name="linear-behind", chapter=6, verdict="open",
        text="Squared error is ahead of the linear loss.",
        sets=_table(SQUARED, LINEAR), budgets=_brief(SQUARED, LINEAR),
    ),
    Claim(
        name="squared-level", chapter=6, verdict="open",
        text="On grades squared error is within a point of CoSENT with the suggested λ.", within=1.0,
        sets=_table(SQUARED, SUGGESTED, GRADED), budgets=_brief(SQUARED, SUGGESTED, GRADED),
        encoders=(*_minilm("cosine_squared", "cosent scale=suggested"), *_small(SQUARED, SUGGESTED)[:1]),
    ),
    Claim(
        name="margin-behind", chapter=6, verdict="open",
        text="The margin loss, its margin tuned, is behind squared error on grades.",
        sets=_table(SQUARED, MARGIN, GRADED), budgets=_brief(SQUARED, MARGIN, GRADED),
        encoders=_minilm("cosine_squared", "cosine_margin"),
    ),
    Claim(
        name="classes-gain-nothing", chapter=7, verdict="open",
        text="Six classes instead of two do not put Sentence-BERT more than a point ahead, or behind, on grades.",
        within=1.0, sets=_table(SIX, TWO, GRADED), budgets=_brief(SIX, TWO, GRADED),
    ),
    Claim(
        name="sbert-behind-squared", chapter=7, verdict="fell",
        text="Sentence-BERT with two classes is behind squared error on the cosine.",
        sets=_table(SQUARED, TWO), budgets=_brief(SQUARED, TWO), encoders=(*_small(SQUARED, TWO), *_e5(SQUARED, TWO)),
    ),
    Claim(
        name="customary-behind-suggested", chapter=8, verdict="doubtful",
        text="CoSENT with λ = 20 is behind CoSENT with the suggested λ.",
        sets=_table(SUGGESTED, CUSTOMARY), budgets=_brief(SUGGESTED, CUSTOMARY),
        encoders=(
            *_minilm("cosent scale=suggested", "cosent scale=20.0"), *_small(SUGGESTED, CUSTOMARY),
            *_e5(SUGGESTED, CUSTOMARY),
        ),
    ),
    Claim(
        name="customary-slow", chapter=8, verdict="stands",
        text="With static, λ = 20 needs more epochs than the suggested λ to come within half a point of its best, each "
        "at the rate chosen for it.",
        sets=_table(CUSTOMARY, SUGGESTED, metric=EPOCHS),
    ),
    Claim(
        name="followed-level", chapter=8, verdict="open",
        text="Computing λ anew while training changes the score by less than half a point.", within=0.5,
        sets=_table(FOLLOWED, SUGGESTED), encoders=_e5(FOLLOWED, SUGGESTED),
    ),
    Claim(
        name="tuning-gains-little", chapter=8, verdict="doubtful",
        text="A λ tuned on validation is within half a point of the suggested one.", within=0.5,
        sets=_table(TUNED, SUGGESTED), budgets=_brief(TUNED, SUGGESTED),
    ),
    Claim(
        name="learned-behind", chapter=8, verdict="bounded",
        text="A λ learned with the weights, from 20 on, is behind the suggested one.",
        sets=_table(SUGGESTED, LEARNED), budgets=_brief(SUGGESTED, LEARNED),
    ),
    Claim(
        name="customary-ahead-of-sbert", chapter=9, verdict="fell",
        text="CoSENT with λ = 20 is ahead of Sentence-BERT with two classes, as it was published.",
        sets=_table(CUSTOMARY, TWO), budgets=_brief(CUSTOMARY, TWO),
        encoders=(*_small(CUSTOMARY, TWO), *_e5(CUSTOMARY, TWO), *_minilm("cosent scale=20.0", "sbert num_labels=6")),
    ),
    Claim(
        name="suggested-ahead-of-sbert", chapter=9, verdict="stands",
        text="CoSENT with the suggested λ is ahead of Sentence-BERT.",
        sets=_table(SUGGESTED, TWO), budgets=_brief(SUGGESTED, TWO),
        encoders=(
            *_small(SUGGESTED, TWO), *_e5(SUGGESTED, TWO), *_minilm("cosent scale=suggested", "sbert num_labels=6")
        ),
    ),
    Claim(
        name="direct-ahead-on-bq", chapter=9, verdict="stands",
        text="On BQ squared error, and the margin loss, its margin tuned, are ahead of CoSENT with the suggested λ.",
        sets=(*_table(SQUARED, SUGGESTED, BINARY), *_table(MARGIN, SUGGESTED, BINARY)),
    ),
    Claim(
        name="margin-ahead-on-binary", chapter=9, verdict="bounded",
        text="With labels 0 and 1 the margin loss, its margin tuned, is ahead of CoSENT with the suggested λ.",
        sets=_table(MARGIN, SUGGESTED, ("bq", "atec")), budgets=_brief(MARGIN, SUGGESTED, ("bq", "atec", "lcqmc")),
        encoders=(*_small(MARGIN, SUGGESTED)[1:], *_e5(MARGIN, SUGGESTED)[1:]),
    ),
    Claim(
        name="contrastive-behind", chapter=9, verdict="open",
        text="The contrastive loss, its margin tuned, is behind CoSENT with the suggested λ.",
        sets=_table(SUGGESTED, CONTRASTIVE),
    ),
    Claim(
        name="in-batch-behind", chapter=9, verdict="stands",
        text="In-batch negatives alone, equal texts left out, rank labelled pairs worse than CoSENT with the suggested "
        "λ.",
        sets=_table(SUGGESTED, IN_BATCH),
    ),
    Claim(
        name="ranknet-behind", chapter=10, verdict="doubtful",
        text="RankNet is behind CoSENT, λ tuned for both.",
        sets=_table(TUNED, RANKNET), budgets=_brief(TUNED, RANKNET),
    ),
    Claim(
        name="negative-exponent-safe", chapter=10, verdict="open",
        text="κ = −0.3 is within half a point of CoSENT or ahead, λ tuned for both.", by=-0.5,
        sets=_table(MIXED, TUNED),
    ),
    Claim(
        name="symmetric-under-noise", chapter=10, verdict="stands",
        text="With a fifth of the training labels turned round, κ = −1 is ahead of κ = 0 by more than two and a half "
        "points, λ = 20 and the rate as they come.", by=2.5,
        sets=_flips("power_mean exponent=-1.0 scale=20.0", "power_mean exponent=0.0 scale=20.0"),
    ),
    Claim(
        name="two-grades-cost", chapter=11, verdict="open",
        text="Two grades instead of six in training cost CoSENT Spearman on the fine grades of STS-B.",
        sets=_grades("CoSENT", 6, "CoSENT", 2),
    ),
    Claim(
        name="squared-ahead-on-two", chapter=11, verdict="stands",
        text="Trained on two grades, squared error is ahead of CoSENT with the suggested λ, judged by the fine grades "
        "of STS-B.",
        sets=_grades("squared cosine", 2, "CoSENT", 2),
    ),
    Claim(
        name="two-grades-ahead-of-six-classes", chapter=11, verdict="stands",
        text="CoSENT trained on two grades is ahead of Sentence-BERT trained on six, judged by the fine grades of "
        "STS-B.",
        sets=_grades("CoSENT", 2, "Sentence-BERT", 6),
    ),
    Claim(
        name="order-ahead-of-head", chapter=11, verdict="stands",
        text="On OCNLI with static, CoSENT in the order E > N > C parts entailed pairs from the others better than "
        "Sentence-BERT with three classes (AUC).",
        sets=_nli(SUS, HEAD, TOP),
    ),
    Claim(
        name="which-order", chapter=11, verdict="stands",
        text="On OCNLI with static, E > N > C parts entailed pairs from the others better than E > C > N (AUC).",
        sets=_nli(SUS, NEAR, TOP, base_places="[1, 0, 2]"),
    ),
    Claim(
        name="order-carries", chapter=11, verdict="open",
        text="Trained on OCNLI, chosen on OCNLI, CoSENT in the order E > N > C is ahead of Sentence-BERT with three "
        "classes on STS-B zh.",
        sets=_nli(SUS, HEAD, CARRIED),
    ),
    Claim(
        name="near-carries", chapter=11, verdict="stands",
        text="Trained on OCNLI, chosen on OCNLI, CoSENT in the order E > C > N is ahead of Sentence-BERT with three "
        "classes on STS-B zh.",
        sets=_nli(NEAR, HEAD, CARRIED, places="[1, 0, 2]"),
    ),
    Claim(
        name="across-ahead", chapter=11, verdict="stands",
        text="On OCNLI with static, comparing across all premises puts all pairs in better order than comparing only "
        "within each, at each λ.",
        sets=_segments("test_spearman"),
    ),
    Claim(
        name="across-in-lists", chapter=11, verdict="open",
        text="On OCNLI with static, comparing across costs the order within premises less than a point, at each λ.",
        by=-1.0, sets=_segments(IN_LISTS),
    ),
    Claim(
        name="sum-finds-better", chapter=13, verdict="stands",
        text="Adding in-batch negatives to CoSENT finds the right answer more often (mean reciprocal rank).",
        sets=_family("CoSENT + in-batch", "CoSENT", "test_retrieval_mrr"),
    ),
    Claim(
        name="sum-keeps-order", chapter=13, verdict="open",
        text="Adding in-batch negatives to CoSENT costs less than half a point of Spearman.", by=-0.5,
        sets=_family("CoSENT + in-batch", "CoSENT"),
    ),
    Claim(
        name="one-hardly-matters", chapter=13, verdict="open",
        text="CoSENT without the 1 in the logarithm is within half a point of CoSENT.", within=0.5,
        sets=_family("CoSENT without the 1", "CoSENT"),
    ),
)  # fmt: skip
