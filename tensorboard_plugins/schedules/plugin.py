"""The dashboard as a plugin of TensorBoard."""

from __future__ import annotations

from typing import Any

from tensorboard import plugin_util
from tensorboard.plugins import base_plugin

from tensorboard_plugins.schedules import layout
from tensorboard_plugins.schedules.log_reader import LogReader
from tensorboard_plugins.schedules.pages import App, Pages

__all__ = ["SchedulesPlugin", "loader_of"]


class SchedulesPlugin(base_plugin.TBPlugin):
    """Shows schedules beside what came of them.

    Args:
        context: What TensorBoard gives its plugins.
    """

    plugin_name = layout.PLUGIN

    def __init__(self, context: base_plugin.TBContext) -> None:
        self._reader = LogReader(context.data_provider)
        self._pages = Pages(self._reader, _of_request, loader_of(context.data_provider))
        # Made once: TensorBoard shows no plugin at all while one raises here.
        self._metadata = base_plugin.FrontendMetadata(
            es_module_path="/index.js", tab_name="Schedules"
        )

    def get_plugin_apps(self) -> dict[str, App]:
        """Return what answers at each route."""
        return self._pages.apps()

    def is_active(self) -> bool:
        """Return whether runs have logged a learning rate: TensorBoard asks where nothing else is.

        Where there are runs of this plugin it is active without being asked.
        """
        return self._reader.has_plain()

    def frontend_metadata(self) -> base_plugin.FrontendMetadata:
        """Return the name of the tab, and its module."""
        return self._metadata


def loader_of(provider: Any) -> str:
    """Return which data server a provider is of."""
    name = type(provider).__name__
    return {"GrpcDataProvider": "rust", "MultiplexerDataProvider": "python"}.get(name, "unknown")


def _of_request(environ: Any) -> tuple[Any, str]:
    return plugin_util.context(environ), plugin_util.experiment_id(environ)
