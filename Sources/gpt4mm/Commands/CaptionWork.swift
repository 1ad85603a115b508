import Foundation
import MultiModalModel
import MultiModalPipeline
import MultiModalTraining
import Torch

/// The pictures that a call of `caption` names, and where their texts go.
struct CaptionWork {
  /// Without those that have a text already.
  let pictures: [StoredPicture]
  private let output: CaptionOutput?
  private let printsJSON: Bool
  /// Texts that the model is less sure of are not written; nil writes all.
  private let minConfidence: Double?
  private let batchSize: Int
  private let showsProgress: Bool

  static let standardInput = "-"

  /// - Parameter rank: which of how many processes this is
  init(_ arguments: Arguments, rank: Int, processes: Int) throws {
    batchSize = try arguments.positive("batch-size")
    let named = arguments.string("output")
    guard named != nil || !arguments.flag("resume") else { throw UsageError("--resume needs --output FILE") }
    minConfidence = try arguments.double("min-confidence")
    if let minConfidence, !(0...1).contains(minConfidence) {
      throw UsageError("--min-confidence must be from 0 to 1, got \(minConfidence)")
    }
    printsJSON = arguments.flag("json")
    // Texts on a terminal show by themselves how far the work is.
    showsProgress = !arguments.flag("quiet") && (named != nil || isatty(STDOUT_FILENO) == 0)
    let listed = try arguments.string("list").map(Self.list) ?? []
    let files = try (arguments.positional + listed).flatMap(Self.files)
    output = try named.map {
      try CaptionOutput(
        url(processes > 1 ? Self.numbered($0, rank, processes) : $0), resumes: arguments.flag("resume"))
    }
    var done = output?.done ?? [:]
    // Other processes' archives are not even opened.
    pictures = try PictureCollection.share(files, rank: rank, of: processes).flatMap(Self.pictures)
      .filter {
        done[$0.name, default: 0] -= 1
        return done[$0.name, default: 0] < 0
      }
  }

  /// `texts.jsonl` of the second of four processes is `texts-1-of-4.jsonl`.
  static func numbered(_ path: String, _ rank: Int, _ processes: Int) -> String {
    let file = url(path)
    let ending = file.pathExtension.isEmpty ? "" : ".\(file.pathExtension)"
    return "\(file.deletingPathExtension().path)-\(rank)-of-\(processes)\(ending)"
  }

  private static func list(_ path: String) throws -> [String] {
    let data =
      try path == standardInput
      ? InputFile.read(STDIN_FILENO, name: "standard input", atMost: .max - 1)
      : InputFile.read(url(path), atMost: .max - 1)
    guard let text = String(validating: data, as: UTF8.self) else {
      throw FileError("\(path == standardInput ? "standard input" : path) is no list of paths in UTF-8")
    }
    return text.split(whereSeparator: \.isNewline).map(String.init)
  }

  /// The files of a folder, or the one that is named.
  private static func files(_ path: String) throws -> [String] {
    var isFolder: ObjCBool = false
    guard path != standardInput,
      FileManager.default.fileExists(atPath: url(path).path, isDirectory: &isFolder),
      isFolder.boolValue
    else { return [path] }
    return try PictureCollection.files(of: url(path)).map(\.path)
  }

  /// A picture keeps the name that it was given; one that is missing is named when its turn comes.
  private static func pictures(_ file: String) throws -> [StoredPicture] {
    if file == standardInput { return [StoredPicture(name: file, file: url("/dev/stdin"))] }
    guard PictureCollection.isArchive(file), access(url(file).path, F_OK) == 0 else {
      return [StoredPicture(name: file, file: url(file))]
    }
    return try PictureCollection.pictures(of: url(file))
  }

  /// - Returns: how many pictures could not be read
  func run(_ captioner: Captioner, _ request: Captioner.Request) async throws -> Int {
    if pictures.count == 1, output == nil, !printsJSON, minConfidence == nil, request.options.numBeams == 1,
      request.options.numReturnSequences == 1
    {
      try await stream(captioner, request)
      return 0
    }
    var (begun, done, failed) = (0, 0, 0)
    var bar = showsProgress && pictures.count > 1 ? ProgressBar() : nil
    try await captioner.caption(batchSize: batchSize) {
      guard begun < pictures.count else { return nil }
      defer { begun += 1 }
      return input(pictures[begun], captioner, request)
    } report: { result in
      let picture = pictures[done]
      done += 1
      if minConfidence != nil { bar?.pause() }
      do {
        try write(picture.name, sureEnough(result.get(), picture.name), prompt: request.prompt ?? "")
      } catch let error as PictureError where pictures.count > 1 {
        bar?.pause()
        Terminal.note("gpt4mm: \(error.localizedDescription)")
        try output?.append(Shared.encode(Line(picture: picture.name, error: error.localizedDescription)))
        failed += 1
      }
      bar?.update(done, of: pictures.count, details: "captioned")
    }
    bar?.pause()
    return failed
  }

  private func input(_ picture: StoredPicture, _ captioner: Captioner, _ request: Captioner.Request)
    -> Captioner.Input
  {
    let limits = captioner.processor.configuration.limits
    guard picture.name == Self.standardInput else { return picture.input(request, limits: limits) }
    return Captioner.Input(name: "from standard input", request) {
      do { return try InputFile.read(STDIN_FILENO, name: "standard input", atMost: limits.maxBytes) } catch {
        throw PictureError(.unreadable, "cannot read a picture from standard input: it is closed or no file")
      }
    }
  }

  /// A text as it is generated.
  private func stream(_ captioner: Captioner, _ request: Captioner.Request) async throws {
    // Nothing is written before the first piece is there, so that what cannot be generated leaves no empty text.
    let title = "\(pictures[0].name): \(request.prompt ?? "")"
    var isBegun = false
    do {
      for try await piece in captioner.stream(input(pictures[0], captioner, request)) {
        Terminal.write(isBegun ? piece.text : title + piece.text)
        isBegun = true
      }
    } catch {
      if isBegun { Terminal.write("\n") }
      throw error
    }
    Terminal.write(isBegun ? "\n" : title + "\n")
  }

  /// The captions that are not rejected; where none is left, that is said.
  private func sureEnough(_ captions: [Captioner.Caption], _ name: String) -> [Captioner.Caption] {
    guard let minConfidence else { return captions }
    let kept = captions.filter { $0.confidence >= minConfidence }
    if kept.isEmpty, let surest = captions.map(\.confidence).max() {
      Terminal.note(
        "\(name): no text, because the model is sure by "
          + String(format: "%.3f only, less than %g", surest, minConfidence))
    }
    return kept
  }

  private func write(_ name: String, _ captions: [Captioner.Caption], prompt: String) throws {
    func line() throws -> String {
      try Shared.encode(Line(picture: name, texts: captions.map(Line.Text.init)))
    }
    if let output {
      try output.append(line())
    } else if printsJSON {
      try Terminal.print(line())
    } else {
      for caption in captions { Terminal.print("\(name): \(prompt)\(caption.text)") }
    }
  }

  private struct Line: Encodable {
    let picture: String
    var texts: [Text]?
    var error: String?

    struct Text: Encodable {
      let text: String
      let tokens: [Int]
      let logProbabilities: [Double]
      let confidence: Double
      let finish: GeneratedText.FinishReason
      let score: Double?

      init(_ caption: Captioner.Caption) {
        text = caption.text
        tokens = caption.tokens
        logProbabilities = caption.logProbabilities
        confidence = caption.confidence
        finish = caption.finish
        score = caption.score
      }
    }
  }
}
