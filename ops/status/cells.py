"""`status` over several pipelines, each with a file of its variables: one section each, or one JSON object of all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from traksense_ingest.ops.status.collector import StatusCollector
from traksense_ingest.ops.status.report import Status
from traksense_ingest.ops.status.run import OUTPUT, run_with_daemon_threads
from traksense_ingest.shared import config
from traksense_ingest.shared.config import Settings
from traksense_ingest.shared.errors import ConfigurationError
from traksense_ingest.shared.runtime.service import EXIT_OK


class _FileFirst(Settings):
    """Settings of which the file overrides the environment."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """In the order in which they count."""
        return init_settings, dotenv_settings, env_settings


def load_file(path: str) -> Settings:
    """The settings with the variables of a file. Raises ConfigurationError."""
    if not Path(path).is_file():  # pydantic would go on without it
        raise ConfigurationError(f"{path}: no such file")
    try:
        return config.load(_FileFirst, _env_file=path)
    except ConfigurationError as error:
        raise ConfigurationError("\n".join(f"{path}: {line}" for line in str(error).splitlines())) from None


def show_cells(
    settings: Mapping[str, Settings], sample_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    """All at once, by their files; returns the highest of their exit codes."""
    return run_with_daemon_threads(_show(settings, sample_s, patience_s, skipped, as_json=as_json))


async def _show(
    settings: Mapping[str, Settings], sample_s: float, patience_s: float, skipped: Collection[str], *, as_json: bool
) -> int:
    async def collect(own: Settings) -> Status:
        async with StatusCollector(own, patience_s, skipped) as collector:
            status = await collector.collect(sample_s)
            await collector.record()
            return status

    collected = await asyncio.gather(*map(collect, settings.values()))
    statuses = dict(zip(settings, collected, strict=True))
    code = max(status.exit_code for status in collected)
    if as_json:
        cells = {file: status.as_dict() for file, status in statuses.items()}
        print(json.dumps({"ok": code == EXIT_OK, "cells": cells}, ensure_ascii=False), flush=True)
    else:
        for number, (file, status) in enumerate(statuses.items()):
            print(f"{chr(10) if number else ''}=== {file}\n", flush=True)
            OUTPUT.once(status)
    return code
