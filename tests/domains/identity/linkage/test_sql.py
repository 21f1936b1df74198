"""The model as SQL gives, on a real database, the weights that the engine gives."""

from datetime import date

import asyncpg
import pytest

from healthsync.domains.identity.linkage import COLUMNS, Compared, Linkage, Population, as_sql, link, standardise

TODAY = date(2026, 11, 27)


@pytest.fixture(scope="module")
def found() -> Linkage:
    people = Population(seed=8, today=TODAY).records(2000)
    rows = [person.row() for person in people]
    told = {name: place for place, name in enumerate(COLUMNS) if name != "id" and not name.startswith("truth")}
    raw = {name: [row[place] for row in rows] for name, place in told.items()}
    raw["extra:eyes of 2"] = [("blue", "brown", "")[len(row[0] + row[1]) % 3] for row in rows]
    return link(standardise(raw, [row[0] for row in rows], [0] * len(rows), today=TODAY))


async def test_the_sql_of_a_model_scores_pairs_as_the_engine_does(found: Linkage, database_url: str) -> None:
    # All pairs that were compared, not only those of one person: strangers and relatives must come out the same.
    places = slice(None, None, max(1, len(found.compared[0]) // 500))
    left, right = (side[places] for side in found.compared)
    compared = Compared.of(found.records, found.model, left, right)
    weights = {
        (int(one), int(other)): (float(weight), float(probability))
        for one, other, weight, probability in zip(
            found.left, found.right, found.weight, found.probability, strict=True
        )
    }
    connection = await asyncpg.connect(database_url)
    try:
        columns = ", ".join(
            f"{name} {'double precision' if name.endswith('_rarity') else 'text'}" for name in compared.columns
        )
        await connection.execute(f"CREATE TEMP TABLE pairs (id_a int, id_b int, {columns})")
        rows = [(a, b, *row) for a, b, row in zip(left.tolist(), right.tolist(), compared.rows(), strict=True)]
        rows += [
            (a, b, *row)
            for (a, b), row in zip(
                weights, Compared.of(found.records, found.model, found.left, found.right).rows(), strict=True
            )
        ]
        await connection.copy_records_to_table("pairs", records=rows)
        scored = {(row["id_a"], row["id_b"]): row for row in await connection.fetch(as_sql(found.model))}
    finally:
        await connection.close()
    assert weights.keys() <= scored.keys()
    for pair, (weight, probability) in weights.items():
        assert float(scored[pair]["weight"]) == pytest.approx(weight, abs=1e-6)
        assert float(scored[pair]["probability"]) == pytest.approx(probability, abs=1e-9)
    assert min(float(row["probability"]) for row in scored.values()) < 0.001


def test_the_sql_names_columns_that_need_no_quotes(found: Linkage) -> None:
    assert "extra_eyes_of_2" in as_sql(found.model)
    assert "extra:" not in as_sql(found.model)
