"""What a reader raises."""


class InvalidPayment(ValueError):
    """The content is no payment request that we know; the text says why, and never repeats the content."""
