"""What people look at: charts, pictures and the page that holds them."""
