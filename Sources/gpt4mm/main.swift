print("gpt4mm")
