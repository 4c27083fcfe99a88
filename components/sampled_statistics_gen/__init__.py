"""StatisticsGen on a sample of each split."""
