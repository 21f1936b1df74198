async def test_migrations_run_twice_without_doing_anything_the_second_time(database):
    from healthsync.infrastructure.database import migrate

    assert await migrate(database) == []
