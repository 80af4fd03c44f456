"""One function per target: ``f(config, PREREQUISITE, ...)`` gives a typed result, or with ``dry_run`` what it would do."""
