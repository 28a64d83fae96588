"""The message classifier as a Dagster resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from pnd_dagster.messages.classifier import Classifier, chosen_model_dir, load_classifier
from pnd_dagster.settings import load_settings


class ClassifierResource(dg.ConfigurableResource):
    """The classifier that labels messages: of the folder given, else the one the settings mean."""

    model_dir: str | None = None

    def load(self) -> Classifier:
        """The model, verified by its checksums."""
        return load_classifier(Path(self.model_dir) if self.model_dir else chosen_model_dir(load_settings()))
