"""``python -m fastloss`` prints how fastloss was built and what it runs with."""

from . import show_config

show_config()
