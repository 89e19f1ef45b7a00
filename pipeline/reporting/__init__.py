"""The report: facts out of the tables (facts), figures and plot data drawn from them, and the page that shows them."""
