import Foundation
import MultiModalPipeline
import Testing

@testable import MultiModalTraining

@Suite struct StoredPictureTests {
  private let limits = PictureLimits()

  @Test func aPictureIsAFileItsBytesOrPixels() throws {
    let folder = try TemporaryFolder()
    try folder.writePicture("a.png", [10, 200, 30])
    let file = folder.file("a.png")
    let expected = try Picture(contentsOf: file)
    let pictures = [
      StoredPicture(name: "a", file: file),
      StoredPicture(name: "a", bytes: { try Data(contentsOf: file) }),
      StoredPicture(name: "a", decoded: { expected }),
    ]
    for picture in pictures {
      #expect(try picture.decoded(longestSide: nil, limits: limits) == expected)
    }
    #expect(pictures.map(\.place) == [file.path, "a", "a"])
  }

  @Test func whatCannotBeReadNamesThePicture() throws {
    struct Lost: LocalizedError { let errorDescription: String? = "the database is closed" }
    let lost = [
      StoredPicture(name: "row 7", bytes: { throw Lost() }),
      StoredPicture(name: "row 7", decoded: { throw Lost() }),
    ]
    for picture in lost {
      let error = #expect(throws: PictureError.self) { try picture.decoded(longestSide: nil, limits: limits) }
      #expect(error?.description == "cannot read picture row 7: the database is closed")
    }
    let error = #expect(throws: PictureError.self) {
      try StoredPicture(name: "row 7", bytes: { Data("no picture".utf8) })
        .decoded(longestSide: nil, limits: limits)
    }
    #expect(error?.description.contains("row 7") == true)
  }
}
