extension String {
  /// As text between tags or as an attribute's value in quotes (HTML Living Standard, 13.1.2.3).
  var escapedForHTML: String {
    reduce(into: "") { result, character in
      for scalar in character.unicodeScalars {
        switch scalar {
        case "&": result += "&amp;"
        case "<": result += "&lt;"
        case ">": result += "&gt;"
        case "\"": result += "&quot;"
        case "'": result += "&#39;"
        case "\n", "\t": result.unicodeScalars.append(scalar)
        // Control characters are errors in a page.
        case _ where scalar.properties.generalCategory == .control: result += "\u{fffd}"
        default: result.unicodeScalars.append(scalar)
        }
      }
    }
  }
}
