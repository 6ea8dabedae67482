"""Makes an IAM user who may do anything in EC2, and prints its key pair as `ACCESS-KEY-ID:SECRET`."""

import json
import sys

import boto3

iam = boto3.client(
    "iam", endpoint_url=sys.argv[1], region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
)
iam.create_user(UserName="site")
key = iam.create_access_key(UserName="site")["AccessKey"]
everything = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "ec2:*", "Resource": "*"}]}
iam.put_user_policy(UserName="site", PolicyName="ec2", PolicyDocument=json.dumps(everything))
print(f"{key['AccessKeyId']}:{key['SecretAccessKey']}")
