import Foundation

/// A list of pictures and texts, a line each: `picture<TAB>text` or `picture<TAB>prompt<TAB>text`. Pictures are relative to
/// the list's folder. Several lines may name the same picture.
public struct ListFile: Dataset {
  /// The file.
  public let url: URL
  /// The path.
  public var name: String { url.path }

  /// A file with a line for each sample.
  public init(_ url: URL) { self.url = url }

  /// The samples in the order of the lines.
  public func samples(ofShard shard: Int) throws -> () throws -> Sample? {
    let lines = try LineReader(url)
    let folder = url.deletingLastPathComponent()
    return {
      while let line = try lines.next() {
        guard let text = String(data: line, encoding: .utf8) else {
          throw TrainingError("\(lines.place) is not UTF-8")
        }
        guard text.contains(where: { !$0.isWhitespace }) else { continue }
        let fields = text.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
        guard fields.count == 2 || fields.count == 3, !fields[0].isEmpty else {
          throw TrainingError(
            "\(lines.place) has \(fields.count) fields: write picture, text, or picture, prompt, text, with tabs between"
          )
        }
        return Sample(
          picture: StoredPicture(
            name: fields[0], file: try ImageFolder.file(fields[0], in: folder, place: lines.place)),
          prompt: fields.count == 3 ? fields[1] : nil, text: fields[fields.count - 1])
      }
      return nil
    }
  }
}
