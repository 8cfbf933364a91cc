Feature: Answers

  Scenario: An answer is read to its end
    Given a model that says "one two"
    When its answer is read
    Then it was "one two"

  Scenario: An answer is waited for in a thread that nobody stops
    Given a model that says "one two"
    When a thread waits for ever
    Then nobody has noticed

  Scenario: An answer leaves a thread of its background
    Given a model with a thread in the background
    Then nobody has noticed
