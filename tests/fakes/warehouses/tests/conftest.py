"""Running fakes, one per module of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..running import Running
from .azuresql_shop import SEED as AZURESQL_SEED
from .bigquery_shop import SEED as BIGQUERY_SEED
from .clickhouse_shop import SEED as CLICKHOUSE_SEED
from .databricks_shop import SEED as DATABRICKS_SEED
from .harness import Control
from .snowflake_shop import SEED as SNOWFLAKE_SEED


@pytest.fixture(scope="module")
def snowflake() -> Iterator[Running]:
    with Running("snowflake", seed=SNOWFLAKE_SEED) as running:
        yield running


@pytest.fixture(scope="module")
def snowflake_tls() -> Iterator[Running]:
    with Running("snowflake", seed=SNOWFLAKE_SEED, tls=True) as running:
        yield running


@pytest.fixture
def control(snowflake: Running) -> Iterator[Control]:
    made = Control(snowflake)
    yield made
    made.reset()
    made.settings(
        partitionRows=10_000,
        shortPartition=None,
        deny=[],
        readOnly=False,
        warehouse={"running": True, "autoResume": True},
    )


@pytest.fixture(scope="module")
def bigquery_fake() -> Iterator[Running]:
    with Running("bigquery", seed=BIGQUERY_SEED) as running:
        yield running


@pytest.fixture
def bigquery_control(bigquery_fake: Running) -> Iterator[Control]:
    made = Control(bigquery_fake)
    yield made
    made.reset()
    made.settings(pageRows=10_000, deny=[], readOnly=False)


@pytest.fixture(scope="module")
def databricks() -> Iterator[Running]:
    with Running("databricks", seed=DATABRICKS_SEED) as running:
        yield running


@pytest.fixture
def databricks_control(databricks: Running) -> Iterator[Control]:
    made = Control(databricks)
    yield made
    made.reset()
    made.settings(
        chunkRows=10_000,
        truncateRows=None,
        inlineBytes=26_214_400,
        deny=[],
        readOnly=False,
        warehouse={"running": True},
    )


@pytest.fixture(scope="module")
def clickhouse() -> Iterator[Running]:
    with Running("clickhouse", seed=CLICKHOUSE_SEED) as running:
        yield running


@pytest.fixture
def clickhouse_control(clickhouse: Running) -> Iterator[Control]:
    made = Control(clickhouse)
    yield made
    made.reset()
    made.settings(deny=[], readOnly=False, profile=0, fail=None)


@pytest.fixture(scope="module")
def azuresql() -> Iterator[Running]:
    with Running("azuresql", seed=AZURESQL_SEED) as running:
        yield running


@pytest.fixture
def azuresql_control(azuresql: Running) -> Iterator[Control]:
    made = Control(azuresql)
    yield made
    made.reset()
    made.settings(deny=[], readOnly=False, encryption="on", route=False, edition="azure", fail=None)
