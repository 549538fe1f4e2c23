"""The words on the wire: Avro records, their classes, the topics, the codec. Imports nothing of ours."""
