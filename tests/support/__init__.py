"""What tests are made of: private servers, a faulty network, and peer processes."""
