"""The message classifier as a Dagster resource."""

from __future__ import annotations

from pathlib import Path

import dagster as dg

from pnd_dagster.messages.classifier import Classifier, load_classifier


class ClassifierResource(dg.ConfigurableResource):
    """The classifier that labels messages; the one that ships with the package unless a folder is given."""

    model_dir: str | None = None

    def load(self) -> Classifier:
        """The model, verified by its checksum."""
        return load_classifier(Path(self.model_dir) if self.model_dir else None)
