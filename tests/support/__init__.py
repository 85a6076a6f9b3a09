"""What tests share: feeds, venues, journals, processes and pictures made for them."""
