"""Sums over tokens, stored beside the scores so that pages need not read every token."""
