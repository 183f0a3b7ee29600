/** What a person did wrong, in words for them; by itself, so that saying it loads no reader of files. */

/** A mistake of the person at the keyboard: the message is all there is to say. */
export class UserMistake extends Error {
  override name = 'UserMistake';
}
