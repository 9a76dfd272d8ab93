"""What a user gives, checked: rows, arrays of a mixture, arguments, memory."""
