//! The outside world of a guest: the folders it may see, the console, a clock that is the same in every run.
