"""What TensorBoard finds after the installation.

It must never fail: what raises here ends TensorBoard, or the list of its plugins.
"""

from __future__ import annotations

import logging
from typing import Any

from tensorboard.plugins import base_plugin

__all__ = ["Loader"]


class Loader(base_plugin.TBLoader):
    """Loads the plugin, or says in the log why not."""

    def load(self, context: base_plugin.TBContext) -> Any:
        """Return the plugin, or None if it cannot be used here.

        Args:
            context: What TensorBoard gives its plugins.
        """
        if context.data_provider is None:
            return None
        try:
            from tensorboard_plugins.schedules.plugin import SchedulesPlugin

            return SchedulesPlugin(context)
        except Exception:
            logging.getLogger("tensorboard").exception('The tab "Schedules" is left out')
            return None
