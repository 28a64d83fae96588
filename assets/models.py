"""Group `models`: the message classifier, trained and promoted."""

import dagster as dg

from pnd_dagster.messages.encoder_training import encoder_options
from pnd_dagster.messages.retraining import TrainingOutcome, train_and_promote
from pnd_dagster.resources import table_metadata
from pnd_dagster.resources.database import DatabaseResource
from pnd_dagster.resources.failures import told_to_dagster
from pnd_dagster.resources.plots import calibration, matrix


class TrainingConfig(dg.Config):
    """How the classifier is trained.

    Attributes:
        method: `full` (upper layers), `lora` (adapters), or `linear` (no encoder).
        epochs: at most; the best one on the validation channels is kept.
        seed: of everything that is drawn.
    """

    method: str = "full"
    epochs: int = 2
    seed: int = 0


@dg.asset(key_prefix="models", kinds={"pytorch", "huggingface"}, owners=["team:data-platform"], pool="training")
def pumpbert(context: dg.AssetExecutionContext, config: TrainingConfig, database: DatabaseResource) -> dg.MaterializeResult:
    """The message classifier, trained on the labels of humans and language models; in use only if it is not worse than the one before.

    Trained on the files of PND_TRAINING_DIR and on the labels in the database; compared on channels that no model was trained on.
    """
    with told_to_dagster():
        settings = database.settings
        options = encoder_options(config.method, encoder=settings.encoder, epochs=config.epochs, seed=config.seed)
        outcome = train_and_promote(database.engine, settings, options, on_progress=_logged(context))
    return dg.MaterializeResult(metadata=_metadata(outcome))


def _logged(context: dg.AssetExecutionContext):
    last = [""]

    def say(done: int, all_: int, what: str) -> None:
        tenth = f"{what} {10 * done // max(all_, 1)}0%"
        if tenth != last[0]:
            last[0] = tenth
            context.log.info(tenth)

    return say


def _metadata(outcome: TrainingOutcome):
    card, verdict = outcome.report.card, outcome.verdict
    return {
        "version": outcome.report.version,
        "is_promoted": verdict.is_promoted,
        "reason": verdict.reason,
        "data_sha256": card["data_sha256"],
        "trained_on": dg.MetadataValue.json(card["trained_on"]),
        "frozen_test": table_metadata.preview(outcome.comparison),
        "by_class": table_metadata.preview(outcome.by_class),
        "confusion": matrix(
            outcome.confusion, rows="label", columns="predicted", value="messages", title="Frozen test channels: labels and predictions"
        ),
        "calibration": calibration(outcome.reliability, title="Frozen test channels: calibration"),
        "epoch_losses": dg.MetadataValue.json(card.get("epoch_losses", [])),
        "folder": dg.MetadataValue.path(str(outcome.folder)),
    }


CHECKS: list[dg.AssetChecksDefinition] = []
