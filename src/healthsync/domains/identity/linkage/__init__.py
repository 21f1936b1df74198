"""Statistical linking of files: which records of one file or several are of one person, without any known pair."""
