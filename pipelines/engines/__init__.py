"""The engines that do the work inside the stages: job servers, and the jobs that they are given."""
