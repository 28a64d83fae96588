"""Where Telegram messages come from: archives, Desktop exports, the live network; and how channels are found."""
