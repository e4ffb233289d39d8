from tests.banks import bank_of

test_right, test_wrong = bank_of("17")
