import CoreML
import ImageIO
import UIKit
import Vision

struct Answer: Identifiable {
    let label: String
    let confidence: Float

    var id: String { label }
}

enum ClassifierError: LocalizedError {
    case noModel
    case noPixels

    var errorDescription: String? {
        switch self {
        case .noModel: return "There is no Classifier.mlpackage in the app; see README.md."
        case .noPixels: return "This picture cannot be read."
        }
    }
}

/// The model that retrain wrote.
struct Classifier {
    private let model: VNCoreMLModel

    init() throws {
        // Xcode compiles Classifier.mlpackage, or Classifier.mlmodel, to this.
        guard let url = Bundle.main.url(forResource: "Classifier", withExtension: "mlmodelc") else {
            throw ClassifierError.noModel
        }
        model = try VNCoreMLModel(for: MLModel(contentsOf: url))
    }

    /// Returns the labels that fit best, the best first.
    func answers(for picture: UIImage, count: Int = 3) throws -> [Answer] {
        guard let pixels = picture.cgImage else { throw ClassifierError.noPixels }
        let request = VNCoreMLRequest(model: model)
        // As in training: the whole picture, whatever its shape.
        request.imageCropAndScaleOption = .scaleFill
        let orientation = CGImagePropertyOrientation(picture.imageOrientation)
        try VNImageRequestHandler(cgImage: pixels, orientation: orientation).perform([request])
        let found = request.results as? [VNClassificationObservation] ?? []
        return found
            .sorted { $0.confidence > $1.confidence }
            .prefix(count)
            .map { Answer(label: $0.identifier, confidence: $0.confidence) }
    }
}

private extension CGImagePropertyOrientation {
    init(_ orientation: UIImage.Orientation) {
        switch orientation {
        case .up: self = .up
        case .upMirrored: self = .upMirrored
        case .down: self = .down
        case .downMirrored: self = .downMirrored
        case .left: self = .left
        case .leftMirrored: self = .leftMirrored
        case .right: self = .right
        case .rightMirrored: self = .rightMirrored
        @unknown default: self = .up
        }
    }
}
