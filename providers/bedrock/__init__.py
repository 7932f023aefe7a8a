"""AWS Bedrock: Stability's image models behind ``InvokeModel``.

::

    provider    the account: addresses, what is sent, what answers mean
    models      which fields each model takes, as data
    signing     AWS credentials and signatures, in a thread
    errors      exceptions of AWS as kinds and certainties
"""

from providers.bedrock.provider import Bedrock as Bedrock
