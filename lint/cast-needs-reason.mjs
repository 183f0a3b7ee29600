/**
 * A cast says to the compiler what it cannot know, and to the reader why that is so: `// cast: reason` stands in the
 * line above, or at the end of the line. `as const` and `satisfies` are no casts.
 */
const REASON = /^\s*cast: \S/;

/** @type {import('eslint').Rule.RuleModule} */
export default {
  meta: {
    type: 'problem',
    messages: {
      reason: 'Do without the cast, or say why it holds: `// cast: reason` in the line above.',
    },
    schema: [],
  },
  create(context) {
    const { sourceCode } = context;
    const lines = new Set();
    for (const comment of sourceCode.getAllComments()) {
      if (REASON.test(comment.value)) lines.add(comment.loc.end.line);
    }
    /** The statement or member a cast stands in may have several lines; its reason stands above the first one too. */
    const check = (node) => {
      const { start, end } = node.loc;
      if (lines.has(start.line) || lines.has(start.line - 1) || lines.has(end.line)) return;
      context.report({ node, messageId: 'reason' });
    };
    return {
      TSAsExpression(node) {
        const { typeAnnotation } = node;
        const isConst =
          typeAnnotation.type === 'TSTypeReference' && typeAnnotation.typeName.name === 'const';
        // `x as unknown as T` is one cast: the outer one is looked at.
        if (!isConst && node.parent.type !== 'TSAsExpression') check(node);
      },
      TSTypeAssertion: check,
    };
  },
};
