"""What people may ask of a library that knows them: to be forgotten everywhere."""
