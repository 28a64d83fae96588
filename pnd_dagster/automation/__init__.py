"""When things run: partitions, conditions, jobs, schedules, sensors."""
