"""AWS without boto3: credentials, signed requests, secrets."""
