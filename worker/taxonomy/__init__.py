"""The taxonomy of product categories: reading Shopify's files, the compact file of ours, the one that ships."""
