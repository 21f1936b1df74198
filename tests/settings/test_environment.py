from healthsync.settings import environment_with, load_settings


def test_a_child_process_sees_other_values_by_its_environment_and_not_by_its_arguments():
    environment = environment_with({"database.url": "postgresql://u:secret@h/d"})
    assert load_settings(None, environ=environment).database.url == "postgresql://u:secret@h/d"
    assert "PATH" in environment
