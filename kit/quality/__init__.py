"""The quality report: what each precision costs and gives, for people who decide."""
