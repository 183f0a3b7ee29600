/* Forms of instructions with a memory operand at rsi (string instructions: and at rdi), for instructions.c. */
enum feature { BASE, SSE42, MOVBE, CX16, BMI, LZ, ADX_, AVX_, AVX2_, AVX512, VBMI2, DIRECT };

/*
 * number, what the processor must have, how operands are chosen, text. What the x87 remembers of its last
 * instruction is cleared: some processors lose it whenever Linux switches to another thread, and all its selectors.
 */
#define FORMS \
	X(0, BASE, "", "mov (%rsi), %al") \
	X(1, BASE, "", "mov (%rsi), %ah") \
	X(2, BASE, "", "mov (%rsi), %r8b") \
	X(3, BASE, "", "mov (%rsi), %ax") \
	X(4, BASE, "", "mov (%rsi), %eax") \
	X(5, BASE, "", "mov (%rsi), %rax") \
	X(6, BASE, "", "mov %bh, (%rsi)") \
	X(7, BASE, "", "mov %r8b, (%rsi)") \
	X(8, BASE, "", "mov %ax, (%rsi)") \
	X(9, BASE, "", "mov %eax, (%rsi)") \
	X(10, BASE, "", "mov %rax, (%rsi)") \
	X(11, BASE, "", "movb $0x81, (%rsi)") \
	X(12, BASE, "", "movw $0x8123, (%rsi)") \
	X(13, BASE, "", "movl $0x81234567, (%rsi)") \
	X(14, BASE, "", "movq $-5, (%rsi)") \
	X(15, BASE, "", "movzbl (%rsi), %eax") \
	X(16, BASE, "", "movzbw (%rsi), %ax") \
	X(17, BASE, "", "movzwl (%rsi), %eax") \
	X(18, BASE, "", "movzwq (%rsi), %rax") \
	X(19, BASE, "", "movsbw (%rsi), %ax") \
	X(20, BASE, "", "movsbl (%rsi), %eax") \
	X(21, BASE, "", "movsbq (%rsi), %rax") \
	X(22, BASE, "", "movswl (%rsi), %eax") \
	X(23, BASE, "", "movswq (%rsi), %rax") \
	X(24, BASE, "", "movslq (%rsi), %rax") \
	X(25, BASE, "", "movnti %eax, (%rsi)") \
	X(26, BASE, "", "movnti %rax, (%rsi)") \
	X(27, BASE, "", "and $31, %ecx; mov 8(%rsi,%rcx,2), %eax") \
	X(28, BASE, "", "and $31, %ecx; add %rax, -16(%rsi,%rcx)") \
	X(29, BASE, "", "mov %rsi, %rbx; mov (%rbx), %rbx") \
	X(30, MOVBE, "", "movbe (%rsi), %ax") \
	X(31, MOVBE, "", "movbe (%rsi), %eax") \
	X(32, MOVBE, "", "movbe (%rsi), %rax") \
	X(33, MOVBE, "", "movbe %ax, (%rsi)") \
	X(34, MOVBE, "", "movbe %eax, (%rsi)") \
	X(35, MOVBE, "", "movbe %rax, (%rsi)") \
	X(36, BASE, "", "add (%rsi), %al") \
	X(37, BASE, "", "add (%rsi), %ax") \
	X(38, BASE, "", "add (%rsi), %eax") \
	X(39, BASE, "", "add (%rsi), %rax") \
	X(40, BASE, "", "add %ah, (%rsi)") \
	X(41, BASE, "", "add %ax, (%rsi)") \
	X(42, BASE, "", "add %eax, (%rsi)") \
	X(43, BASE, "", "add %rax, (%rsi)") \
	X(44, BASE, "", "addl $0x12345678, (%rsi)") \
	X(45, BASE, "", "addq $-3, (%rsi)") \
	X(46, BASE, "", "addb $0x7f, (%rsi)") \
	X(47, BASE, "", "lock add %eax, (%rsi)") \
	X(48, BASE, "", "lock addq $1, (%rsi)") \
	X(49, BASE, "", "adc (%rsi), %al") \
	X(50, BASE, "", "adc (%rsi), %ax") \
	X(51, BASE, "", "adc (%rsi), %eax") \
	X(52, BASE, "", "adc (%rsi), %rax") \
	X(53, BASE, "", "adc %ah, (%rsi)") \
	X(54, BASE, "", "adc %ax, (%rsi)") \
	X(55, BASE, "", "adc %eax, (%rsi)") \
	X(56, BASE, "", "adc %rax, (%rsi)") \
	X(57, BASE, "", "adcl $0x12345678, (%rsi)") \
	X(58, BASE, "", "adcq $-3, (%rsi)") \
	X(59, BASE, "", "adcb $0x7f, (%rsi)") \
	X(60, BASE, "", "lock adc %eax, (%rsi)") \
	X(61, BASE, "", "lock adcq $1, (%rsi)") \
	X(62, BASE, "", "sub (%rsi), %al") \
	X(63, BASE, "", "sub (%rsi), %ax") \
	X(64, BASE, "", "sub (%rsi), %eax") \
	X(65, BASE, "", "sub (%rsi), %rax") \
	X(66, BASE, "", "sub %ah, (%rsi)") \
	X(67, BASE, "", "sub %ax, (%rsi)") \
	X(68, BASE, "", "sub %eax, (%rsi)") \
	X(69, BASE, "", "sub %rax, (%rsi)") \
	X(70, BASE, "", "subl $0x12345678, (%rsi)") \
	X(71, BASE, "", "subq $-3, (%rsi)") \
	X(72, BASE, "", "subb $0x7f, (%rsi)") \
	X(73, BASE, "", "lock sub %eax, (%rsi)") \
	X(74, BASE, "", "lock subq $1, (%rsi)") \
	X(75, BASE, "", "sbb (%rsi), %al") \
	X(76, BASE, "", "sbb (%rsi), %ax") \
	X(77, BASE, "", "sbb (%rsi), %eax") \
	X(78, BASE, "", "sbb (%rsi), %rax") \
	X(79, BASE, "", "sbb %ah, (%rsi)") \
	X(80, BASE, "", "sbb %ax, (%rsi)") \
	X(81, BASE, "", "sbb %eax, (%rsi)") \
	X(82, BASE, "", "sbb %rax, (%rsi)") \
	X(83, BASE, "", "sbbl $0x12345678, (%rsi)") \
	X(84, BASE, "", "sbbq $-3, (%rsi)") \
	X(85, BASE, "", "sbbb $0x7f, (%rsi)") \
	X(86, BASE, "", "lock sbb %eax, (%rsi)") \
	X(87, BASE, "", "lock sbbq $1, (%rsi)") \
	X(88, BASE, "", "and (%rsi), %al") \
	X(89, BASE, "", "and (%rsi), %ax") \
	X(90, BASE, "", "and (%rsi), %eax") \
	X(91, BASE, "", "and (%rsi), %rax") \
	X(92, BASE, "", "and %ah, (%rsi)") \
	X(93, BASE, "", "and %ax, (%rsi)") \
	X(94, BASE, "", "and %eax, (%rsi)") \
	X(95, BASE, "", "and %rax, (%rsi)") \
	X(96, BASE, "", "andl $0x12345678, (%rsi)") \
	X(97, BASE, "", "andq $-3, (%rsi)") \
	X(98, BASE, "", "andb $0x7f, (%rsi)") \
	X(99, BASE, "", "lock and %eax, (%rsi)") \
	X(100, BASE, "", "lock andq $1, (%rsi)") \
	X(101, BASE, "", "or (%rsi), %al") \
	X(102, BASE, "", "or (%rsi), %ax") \
	X(103, BASE, "", "or (%rsi), %eax") \
	X(104, BASE, "", "or (%rsi), %rax") \
	X(105, BASE, "", "or %ah, (%rsi)") \
	X(106, BASE, "", "or %ax, (%rsi)") \
	X(107, BASE, "", "or %eax, (%rsi)") \
	X(108, BASE, "", "or %rax, (%rsi)") \
	X(109, BASE, "", "orl $0x12345678, (%rsi)") \
	X(110, BASE, "", "orq $-3, (%rsi)") \
	X(111, BASE, "", "orb $0x7f, (%rsi)") \
	X(112, BASE, "", "lock or %eax, (%rsi)") \
	X(113, BASE, "", "lock orq $1, (%rsi)") \
	X(114, BASE, "", "xor (%rsi), %al") \
	X(115, BASE, "", "xor (%rsi), %ax") \
	X(116, BASE, "", "xor (%rsi), %eax") \
	X(117, BASE, "", "xor (%rsi), %rax") \
	X(118, BASE, "", "xor %ah, (%rsi)") \
	X(119, BASE, "", "xor %ax, (%rsi)") \
	X(120, BASE, "", "xor %eax, (%rsi)") \
	X(121, BASE, "", "xor %rax, (%rsi)") \
	X(122, BASE, "", "xorl $0x12345678, (%rsi)") \
	X(123, BASE, "", "xorq $-3, (%rsi)") \
	X(124, BASE, "", "xorb $0x7f, (%rsi)") \
	X(125, BASE, "", "lock xor %eax, (%rsi)") \
	X(126, BASE, "", "lock xorq $1, (%rsi)") \
	X(127, BASE, "", "cmp (%rsi), %al") \
	X(128, BASE, "", "cmp (%rsi), %ax") \
	X(129, BASE, "", "cmp (%rsi), %eax") \
	X(130, BASE, "", "cmp (%rsi), %rax") \
	X(131, BASE, "", "cmp %ah, (%rsi)") \
	X(132, BASE, "", "cmp %ax, (%rsi)") \
	X(133, BASE, "", "cmp %eax, (%rsi)") \
	X(134, BASE, "", "cmp %rax, (%rsi)") \
	X(135, BASE, "", "cmpl $0x12345678, (%rsi)") \
	X(136, BASE, "", "cmpq $-3, (%rsi)") \
	X(137, BASE, "", "cmpb $0x7f, (%rsi)") \
	X(138, BASE, "", "test %eax, (%rsi)") \
	X(139, BASE, "", "testb $0x80, (%rsi)") \
	X(140, BASE, "", "test %rax, (%rsi)") \
	X(141, BASE, "", "incb (%rsi)") \
	X(142, BASE, "", "incw (%rsi)") \
	X(143, BASE, "", "incl (%rsi)") \
	X(144, BASE, "", "incq (%rsi)") \
	X(145, BASE, "", "lock incl (%rsi)") \
	X(146, BASE, "", "decb (%rsi)") \
	X(147, BASE, "", "decw (%rsi)") \
	X(148, BASE, "", "decl (%rsi)") \
	X(149, BASE, "", "decq (%rsi)") \
	X(150, BASE, "", "lock decl (%rsi)") \
	X(151, BASE, "", "negb (%rsi)") \
	X(152, BASE, "", "negw (%rsi)") \
	X(153, BASE, "", "negl (%rsi)") \
	X(154, BASE, "", "negq (%rsi)") \
	X(155, BASE, "", "lock negl (%rsi)") \
	X(156, BASE, "", "notb (%rsi)") \
	X(157, BASE, "", "notw (%rsi)") \
	X(158, BASE, "", "notl (%rsi)") \
	X(159, BASE, "", "notq (%rsi)") \
	X(160, BASE, "", "lock notl (%rsi)") \
	X(161, BASE, "", "shlb (%rsi)") \
	X(162, BASE, "", "shlw (%rsi)") \
	X(163, BASE, "", "shll (%rsi)") \
	X(164, BASE, "", "shlq (%rsi)") \
	X(165, BASE, "", "shlb %cl, (%rsi)") \
	X(166, BASE, "", "shlw %cl, (%rsi)") \
	X(167, BASE, "", "shll %cl, (%rsi)") \
	X(168, BASE, "", "shlq %cl, (%rsi)") \
	X(169, BASE, "", "shll $5, (%rsi)") \
	X(170, BASE, "", "shlq $63, (%rsi)") \
	X(171, BASE, "", "shrb (%rsi)") \
	X(172, BASE, "", "shrw (%rsi)") \
	X(173, BASE, "", "shrl (%rsi)") \
	X(174, BASE, "", "shrq (%rsi)") \
	X(175, BASE, "", "shrb %cl, (%rsi)") \
	X(176, BASE, "", "shrw %cl, (%rsi)") \
	X(177, BASE, "", "shrl %cl, (%rsi)") \
	X(178, BASE, "", "shrq %cl, (%rsi)") \
	X(179, BASE, "", "shrl $5, (%rsi)") \
	X(180, BASE, "", "shrq $63, (%rsi)") \
	X(181, BASE, "", "sarb (%rsi)") \
	X(182, BASE, "", "sarw (%rsi)") \
	X(183, BASE, "", "sarl (%rsi)") \
	X(184, BASE, "", "sarq (%rsi)") \
	X(185, BASE, "", "sarb %cl, (%rsi)") \
	X(186, BASE, "", "sarw %cl, (%rsi)") \
	X(187, BASE, "", "sarl %cl, (%rsi)") \
	X(188, BASE, "", "sarq %cl, (%rsi)") \
	X(189, BASE, "", "sarl $5, (%rsi)") \
	X(190, BASE, "", "sarq $63, (%rsi)") \
	X(191, BASE, "", "rolb (%rsi)") \
	X(192, BASE, "", "rolw (%rsi)") \
	X(193, BASE, "", "roll (%rsi)") \
	X(194, BASE, "", "rolq (%rsi)") \
	X(195, BASE, "", "rolb %cl, (%rsi)") \
	X(196, BASE, "", "rolw %cl, (%rsi)") \
	X(197, BASE, "", "roll %cl, (%rsi)") \
	X(198, BASE, "", "rolq %cl, (%rsi)") \
	X(199, BASE, "", "roll $5, (%rsi)") \
	X(200, BASE, "", "rolq $63, (%rsi)") \
	X(201, BASE, "", "rorb (%rsi)") \
	X(202, BASE, "", "rorw (%rsi)") \
	X(203, BASE, "", "rorl (%rsi)") \
	X(204, BASE, "", "rorq (%rsi)") \
	X(205, BASE, "", "rorb %cl, (%rsi)") \
	X(206, BASE, "", "rorw %cl, (%rsi)") \
	X(207, BASE, "", "rorl %cl, (%rsi)") \
	X(208, BASE, "", "rorq %cl, (%rsi)") \
	X(209, BASE, "", "rorl $5, (%rsi)") \
	X(210, BASE, "", "rorq $63, (%rsi)") \
	X(211, BASE, "", "rclb (%rsi)") \
	X(212, BASE, "", "rclw (%rsi)") \
	X(213, BASE, "", "rcll (%rsi)") \
	X(214, BASE, "", "rclq (%rsi)") \
	X(215, BASE, "", "rclb %cl, (%rsi)") \
	X(216, BASE, "", "rclw %cl, (%rsi)") \
	X(217, BASE, "", "rcll %cl, (%rsi)") \
	X(218, BASE, "", "rclq %cl, (%rsi)") \
	X(219, BASE, "", "rcll $5, (%rsi)") \
	X(220, BASE, "", "rclq $63, (%rsi)") \
	X(221, BASE, "", "rcrb (%rsi)") \
	X(222, BASE, "", "rcrw (%rsi)") \
	X(223, BASE, "", "rcrl (%rsi)") \
	X(224, BASE, "", "rcrq (%rsi)") \
	X(225, BASE, "", "rcrb %cl, (%rsi)") \
	X(226, BASE, "", "rcrw %cl, (%rsi)") \
	X(227, BASE, "", "rcrl %cl, (%rsi)") \
	X(228, BASE, "", "rcrq %cl, (%rsi)") \
	X(229, BASE, "", "rcrl $5, (%rsi)") \
	X(230, BASE, "", "rcrq $63, (%rsi)") \
	X(231, BASE, "", "shld $7, %eax, (%rsi)") \
	X(232, BASE, "", "shld %cl, %rax, (%rsi)") \
	X(233, BASE, "", "shrd $7, %rax, (%rsi)") \
	X(234, BASE, "", "shrd %cl, %eax, (%rsi)") \
	X(235, BASE, "", "imul (%rsi), %ax") \
	X(236, BASE, "", "imul (%rsi), %eax") \
	X(237, BASE, "", "imul (%rsi), %rax") \
	X(238, BASE, "", "imul $3, (%rsi), %eax") \
	X(239, BASE, "", "imul $1000, (%rsi), %rax") \
	X(240, BASE, "", "mulb (%rsi)") \
	X(241, BASE, "", "mulw (%rsi)") \
	X(242, BASE, "", "mull (%rsi)") \
	X(243, BASE, "", "mulq (%rsi)") \
	X(244, BASE, "", "imulb (%rsi)") \
	X(245, BASE, "", "imulw (%rsi)") \
	X(246, BASE, "", "imull (%rsi)") \
	X(247, BASE, "", "imulq (%rsi)") \
	X(248, BASE, "d", "divw (%rsi)") \
	X(249, BASE, "d", "divl (%rsi)") \
	X(250, BASE, "d", "divq (%rsi)") \
	X(251, BASE, "d", "idivw (%rsi)") \
	X(252, BASE, "d", "idivl (%rsi)") \
	X(253, BASE, "d", "idivq (%rsi)") \
	X(254, BASE, "b", "bt %cx, (%rsi)") \
	X(255, BASE, "b", "bt %ecx, (%rsi)") \
	X(256, BASE, "b", "bt %rcx, (%rsi)") \
	X(257, BASE, "", "btw $13, (%rsi)") \
	X(258, BASE, "", "btl $31, (%rsi)") \
	X(259, BASE, "", "btq $63, (%rsi)") \
	X(260, BASE, "b", "bts %cx, (%rsi)") \
	X(261, BASE, "b", "bts %ecx, (%rsi)") \
	X(262, BASE, "b", "bts %rcx, (%rsi)") \
	X(263, BASE, "", "btsw $13, (%rsi)") \
	X(264, BASE, "", "btsl $31, (%rsi)") \
	X(265, BASE, "", "btsq $63, (%rsi)") \
	X(266, BASE, "b", "btr %cx, (%rsi)") \
	X(267, BASE, "b", "btr %ecx, (%rsi)") \
	X(268, BASE, "b", "btr %rcx, (%rsi)") \
	X(269, BASE, "", "btrw $13, (%rsi)") \
	X(270, BASE, "", "btrl $31, (%rsi)") \
	X(271, BASE, "", "btrq $63, (%rsi)") \
	X(272, BASE, "b", "btc %cx, (%rsi)") \
	X(273, BASE, "b", "btc %ecx, (%rsi)") \
	X(274, BASE, "b", "btc %rcx, (%rsi)") \
	X(275, BASE, "", "btcw $13, (%rsi)") \
	X(276, BASE, "", "btcl $31, (%rsi)") \
	X(277, BASE, "", "btcq $63, (%rsi)") \
	X(278, BASE, "b", "lock bts %rcx, (%rsi)") \
	X(279, BASE, "b", "lock btr %ecx, (%rsi)") \
	X(280, BASE, "", "bsf (%rsi), %eax") \
	X(281, BASE, "", "bsr (%rsi), %rax") \
	X(282, BASE, "", "bsf (%rsi), %ax") \
	X(283, SSE42, "", "popcnt (%rsi), %eax") \
	X(284, SSE42, "", "popcnt (%rsi), %rax") \
	X(285, SSE42, "", "crc32l (%rsi), %eax") \
	X(286, SSE42, "", "crc32b (%rsi), %eax") \
	X(287, LZ, "", "lzcnt (%rsi), %eax") \
	X(288, LZ, "", "lzcnt (%rsi), %rax") \
	X(289, BMI, "", "tzcnt (%rsi), %eax") \
	X(290, BMI, "", "andn (%rsi), %eax, %ebx") \
	X(291, BMI, "", "blsr (%rsi), %rax") \
	X(292, BMI, "", "bextr %ecx, (%rsi), %eax") \
	X(293, BMI, "", "mulx (%rsi), %rax, %rbx") \
	X(294, BMI, "", "pdep (%rsi), %rax, %rbx") \
	X(295, BMI, "", "pext (%rsi), %eax, %ebx") \
	X(296, BMI, "", "rorx $9, (%rsi), %eax") \
	X(297, BMI, "", "shlx %ecx, (%rsi), %eax") \
	X(298, BMI, "", "sarx %rcx, (%rsi), %rax") \
	X(299, ADX_, "", "adcx (%rsi), %eax") \
	X(300, ADX_, "", "adox (%rsi), %rax") \
	X(301, BASE, "", "cmovo (%rsi), %eax") \
	X(302, BASE, "", "cmovno (%rsi), %eax") \
	X(303, BASE, "", "cmovb (%rsi), %eax") \
	X(304, BASE, "", "cmovae (%rsi), %eax") \
	X(305, BASE, "", "cmove (%rsi), %eax") \
	X(306, BASE, "", "cmovne (%rsi), %eax") \
	X(307, BASE, "", "cmovbe (%rsi), %eax") \
	X(308, BASE, "", "cmova (%rsi), %eax") \
	X(309, BASE, "", "cmovs (%rsi), %eax") \
	X(310, BASE, "", "cmovns (%rsi), %eax") \
	X(311, BASE, "", "cmovp (%rsi), %eax") \
	X(312, BASE, "", "cmovnp (%rsi), %eax") \
	X(313, BASE, "", "cmovl (%rsi), %eax") \
	X(314, BASE, "", "cmovge (%rsi), %eax") \
	X(315, BASE, "", "cmovle (%rsi), %eax") \
	X(316, BASE, "", "cmovg (%rsi), %eax") \
	X(317, BASE, "", "cmove (%rsi), %rax") \
	X(318, BASE, "", "cmovne (%rsi), %ax") \
	X(319, BASE, "", "seto (%rsi)") \
	X(320, BASE, "", "setno (%rsi)") \
	X(321, BASE, "", "setb (%rsi)") \
	X(322, BASE, "", "setae (%rsi)") \
	X(323, BASE, "", "sete (%rsi)") \
	X(324, BASE, "", "setne (%rsi)") \
	X(325, BASE, "", "setbe (%rsi)") \
	X(326, BASE, "", "seta (%rsi)") \
	X(327, BASE, "", "sets (%rsi)") \
	X(328, BASE, "", "setns (%rsi)") \
	X(329, BASE, "", "setp (%rsi)") \
	X(330, BASE, "", "setnp (%rsi)") \
	X(331, BASE, "", "setl (%rsi)") \
	X(332, BASE, "", "setge (%rsi)") \
	X(333, BASE, "", "setle (%rsi)") \
	X(334, BASE, "", "setg (%rsi)") \
	X(335, BASE, "", "xchg %al, (%rsi)") \
	X(336, BASE, "", "xchg %ax, (%rsi)") \
	X(337, BASE, "", "xchg %eax, (%rsi)") \
	X(338, BASE, "", "xchg %rax, (%rsi)") \
	X(339, BASE, "", "xadd %bl, (%rsi)") \
	X(340, BASE, "", "xadd %ebx, (%rsi)") \
	X(341, BASE, "", "lock xadd %rbx, (%rsi)") \
	X(342, BASE, "", "cmpxchg %bl, (%rsi)") \
	X(343, BASE, "", "cmpxchg %bx, (%rsi)") \
	X(344, BASE, "", "lock cmpxchg %ebx, (%rsi)") \
	X(345, BASE, "", "lock cmpxchg %rbx, (%rsi)") \
	X(346, BASE, "", "cmpxchg8b (%rsi)") \
	X(347, CX16, "a", "lock cmpxchg16b (%rsi)") \
	X(348, BASE, "", "push (%rsi); pop %rax") \
	X(349, BASE, "", "push %rax; pop 8(%rsi)") \
	X(350, BASE, "", "pushw (%rsi); popw %ax") \
	X(351, BASE, "", "prefetcht0 (%rsi)") \
	X(352, BASE, "", "clflush (%rsi)") \
	X(353, BASE, "s", "movsb") \
	X(354, BASE, "s", "rep movsb") \
	X(355, BASE, "s", "std; rep movsb; cld") \
	X(356, BASE, "s", "stosb") \
	X(357, BASE, "s", "rep stosb") \
	X(358, BASE, "s", "lodsb") \
	X(359, BASE, "s", "rep lodsb") \
	X(360, BASE, "s", "cmpsb") \
	X(361, BASE, "s", "repe cmpsb") \
	X(362, BASE, "s", "repne cmpsb") \
	X(363, BASE, "s", "scasb") \
	X(364, BASE, "s", "repe scasb") \
	X(365, BASE, "s", "repne scasb") \
	X(366, BASE, "s", "std; repne scasb; cld") \
	X(367, BASE, "s", "movsw") \
	X(368, BASE, "s", "rep movsw") \
	X(369, BASE, "s", "std; rep movsw; cld") \
	X(370, BASE, "s", "stosw") \
	X(371, BASE, "s", "rep stosw") \
	X(372, BASE, "s", "lodsw") \
	X(373, BASE, "s", "rep lodsw") \
	X(374, BASE, "s", "cmpsw") \
	X(375, BASE, "s", "repe cmpsw") \
	X(376, BASE, "s", "repne cmpsw") \
	X(377, BASE, "s", "scasw") \
	X(378, BASE, "s", "repe scasw") \
	X(379, BASE, "s", "repne scasw") \
	X(380, BASE, "s", "std; repne scasw; cld") \
	X(381, BASE, "s", "movsl") \
	X(382, BASE, "s", "rep movsl") \
	X(383, BASE, "s", "std; rep movsl; cld") \
	X(384, BASE, "s", "stosl") \
	X(385, BASE, "s", "rep stosl") \
	X(386, BASE, "s", "lodsl") \
	X(387, BASE, "s", "rep lodsl") \
	X(388, BASE, "s", "cmpsl") \
	X(389, BASE, "s", "repe cmpsl") \
	X(390, BASE, "s", "repne cmpsl") \
	X(391, BASE, "s", "scasl") \
	X(392, BASE, "s", "repe scasl") \
	X(393, BASE, "s", "repne scasl") \
	X(394, BASE, "s", "std; repne scasl; cld") \
	X(395, BASE, "s", "movsq") \
	X(396, BASE, "s", "rep movsq") \
	X(397, BASE, "s", "std; rep movsq; cld") \
	X(398, BASE, "s", "stosq") \
	X(399, BASE, "s", "rep stosq") \
	X(400, BASE, "s", "lodsq") \
	X(401, BASE, "s", "rep lodsq") \
	X(402, BASE, "s", "cmpsq") \
	X(403, BASE, "s", "repe cmpsq") \
	X(404, BASE, "s", "repne cmpsq") \
	X(405, BASE, "s", "scasq") \
	X(406, BASE, "s", "repe scasq") \
	X(407, BASE, "s", "repne scasq") \
	X(408, BASE, "s", "std; repne scasq; cld") \
	X(409, BASE, "", "movups (%rsi), %xmm0") \
	X(410, BASE, "", "movups %xmm0, (%rsi)") \
	X(411, BASE, "", "movupd (%rsi), %xmm0") \
	X(412, BASE, "", "movupd %xmm0, (%rsi)") \
	X(413, BASE, "", "movdqu (%rsi), %xmm0") \
	X(414, BASE, "", "movdqu %xmm0, (%rsi)") \
	X(415, BASE, "a", "movaps (%rsi), %xmm0") \
	X(416, BASE, "a", "movaps %xmm0, (%rsi)") \
	X(417, BASE, "a", "movapd (%rsi), %xmm0") \
	X(418, BASE, "a", "movapd %xmm0, (%rsi)") \
	X(419, BASE, "a", "movdqa (%rsi), %xmm0") \
	X(420, BASE, "a", "movdqa %xmm0, (%rsi)") \
	X(421, BASE, "a", "movntps %xmm0, (%rsi)") \
	X(422, BASE, "a", "movntdq %xmm0, (%rsi)") \
	X(423, BASE, "a", "paddd (%rsi), %xmm0") \
	X(424, BASE, "a", "pxor (%rsi), %xmm1") \
	X(425, BASE, "a", "pshufd $0x1b, (%rsi), %xmm0") \
	X(426, BASE, "a", "addps (%rsi), %xmm0") \
	X(427, BASE, "a", "mulpd (%rsi), %xmm0") \
	X(428, BASE, "a", "punpcklbw (%rsi), %xmm0") \
	X(429, BASE, "a", "cmpltps (%rsi), %xmm0") \
	X(430, SSE42, "a", "movntdqa (%rsi), %xmm0") \
	X(431, SSE42, "a", "pshufb (%rsi), %xmm0") \
	X(432, SSE42, "a", "pminud (%rsi), %xmm0") \
	X(433, SSE42, "a", "pcmpistri $0, (%rsi), %xmm0") \
	X(434, SSE42, "a", "ptest (%rsi), %xmm0") \
	X(435, BASE, "", "movd (%rsi), %xmm0") \
	X(436, BASE, "", "movd %xmm0, (%rsi)") \
	X(437, BASE, "", "movq (%rsi), %xmm0") \
	X(438, BASE, "", "movq %xmm0, (%rsi)") \
	X(439, BASE, "", "movss (%rsi), %xmm0") \
	X(440, BASE, "", "movss %xmm0, (%rsi)") \
	X(441, BASE, "", "movsd (%rsi), %xmm0") \
	X(442, BASE, "", "movsd %xmm0, (%rsi)") \
	X(443, BASE, "", "movhps (%rsi), %xmm0") \
	X(444, BASE, "", "movhps %xmm0, (%rsi)") \
	X(445, BASE, "", "movlps (%rsi), %xmm0") \
	X(446, BASE, "", "movlps %xmm0, (%rsi)") \
	X(447, BASE, "", "movhpd (%rsi), %xmm0") \
	X(448, BASE, "", "movhpd %xmm0, (%rsi)") \
	X(449, BASE, "", "movlpd (%rsi), %xmm0") \
	X(450, BASE, "", "movlpd %xmm0, (%rsi)") \
	X(451, BASE, "", "cvtsi2sdl (%rsi), %xmm0") \
	X(452, BASE, "", "cvtsi2ssq (%rsi), %xmm0") \
	X(453, BASE, "", "cvttsd2si (%rsi), %eax") \
	X(454, BASE, "", "cvtps2pd (%rsi), %xmm0") \
	X(455, BASE, "", "addss (%rsi), %xmm0") \
	X(456, BASE, "", "mulsd (%rsi), %xmm0") \
	X(457, BASE, "", "sqrtsd (%rsi), %xmm0") \
	X(458, BASE, "", "ucomisd (%rsi), %xmm0") \
	X(459, BASE, "", "comiss (%rsi), %xmm0") \
	X(460, BASE, "", "pinsrw $3, (%rsi), %xmm0") \
	X(461, SSE42, "", "lddqu (%rsi), %xmm0") \
	X(462, SSE42, "", "pinsrb $3, (%rsi), %xmm0") \
	X(463, SSE42, "", "pinsrd $1, (%rsi), %xmm0") \
	X(464, SSE42, "", "pinsrq $1, (%rsi), %xmm0") \
	X(465, SSE42, "", "pextrb $3, %xmm0, (%rsi)") \
	X(466, SSE42, "", "pextrw $3, %xmm0, (%rsi)") \
	X(467, SSE42, "", "pextrd $1, %xmm0, (%rsi)") \
	X(468, SSE42, "", "pextrq $1, %xmm0, (%rsi)") \
	X(469, SSE42, "", "pmovzxbw (%rsi), %xmm0") \
	X(470, SSE42, "", "pmovsxdq (%rsi), %xmm0") \
	X(471, SSE42, "", "insertps $0x10, (%rsi), %xmm0") \
	X(472, SSE42, "", "extractps $2, %xmm0, (%rsi)") \
	X(473, SSE42, "", "movddup (%rsi), %xmm0") \
	X(474, BASE, "s", "maskmovdqu %xmm1, %xmm0") \
	X(475, AVX_, "", "vmovups (%rsi), %xmm0") \
	X(476, AVX_, "", "vmovups (%rsi), %ymm0") \
	X(477, AVX_, "", "vmovups %ymm0, (%rsi)") \
	X(478, AVX_, "", "vmovups %xmm1, (%rsi)") \
	X(479, AVX_, "", "vmovupd (%rsi), %xmm0") \
	X(480, AVX_, "", "vmovupd (%rsi), %ymm0") \
	X(481, AVX_, "", "vmovupd %ymm0, (%rsi)") \
	X(482, AVX_, "", "vmovupd %xmm1, (%rsi)") \
	X(483, AVX_, "", "vmovdqu (%rsi), %xmm0") \
	X(484, AVX_, "", "vmovdqu (%rsi), %ymm0") \
	X(485, AVX_, "", "vmovdqu %ymm0, (%rsi)") \
	X(486, AVX_, "", "vmovdqu %xmm1, (%rsi)") \
	X(487, AVX_, "a", "vmovaps (%rsi), %ymm0") \
	X(488, AVX_, "a", "vmovdqa %ymm0, (%rsi)") \
	X(489, AVX_, "a", "vmovntdq %ymm0, (%rsi)") \
	X(490, AVX_, "a", "vmovntps %ymm0, (%rsi)") \
	X(491, AVX_, "", "vlddqu (%rsi), %ymm0") \
	X(492, AVX_, "", "vmovd (%rsi), %xmm0") \
	X(493, AVX_, "", "vmovq (%rsi), %xmm0") \
	X(494, AVX_, "", "vmovq %xmm0, (%rsi)") \
	X(495, AVX_, "", "vmovss (%rsi), %xmm0") \
	X(496, AVX_, "", "vmovsd (%rsi), %xmm0") \
	X(497, AVX_, "", "vmovhps (%rsi), %xmm1, %xmm0") \
	X(498, AVX_, "", "vmovlps %xmm0, (%rsi)") \
	X(499, AVX_, "", "vbroadcastss (%rsi), %ymm0") \
	X(500, AVX_, "", "vbroadcastf128 (%rsi), %ymm0") \
	X(501, AVX_, "", "vinsertf128 $1, (%rsi), %ymm1, %ymm0") \
	X(502, AVX_, "", "vextractf128 $1, %ymm0, (%rsi)") \
	X(503, AVX_, "", "vmaskmovps (%rsi), %ymm1, %ymm0") \
	X(504, AVX_, "", "vmaskmovps %ymm0, %ymm1, (%rsi)") \
	X(505, AVX_, "", "vmaskmovpd %xmm0, %xmm1, (%rsi)") \
	X(506, AVX_, "", "vaddps (%rsi), %ymm1, %ymm0") \
	X(507, AVX_, "", "vpinsrd $2, (%rsi), %xmm1, %xmm0") \
	X(508, AVX2_, "", "vpbroadcastb (%rsi), %ymm0") \
	X(509, AVX2_, "", "vpbroadcastd (%rsi), %ymm0") \
	X(510, AVX2_, "", "vpmaskmovd (%rsi), %ymm1, %ymm0") \
	X(511, AVX2_, "", "vpmaskmovq %ymm0, %ymm1, (%rsi)") \
	X(512, AVX2_, "", "vinserti128 $1, (%rsi), %ymm1, %ymm0") \
	X(513, AVX2_, "", "vextracti128 $1, %ymm0, (%rsi)") \
	X(514, AVX2_, "", "vpaddq (%rsi), %ymm1, %ymm0") \
	X(515, AVX2_, "", "vpermd (%rsi), %ymm1, %ymm0") \
	X(516, AVX2_, "", "vfmadd213pd (%rsi), %ymm1, %ymm0") \
	X(517, AVX2_, "", "vpmovzxbd (%rsi), %ymm0") \
	X(518, AVX512, "", "vmovups (%rsi), %zmm0") \
	X(519, AVX512, "", "vmovups %zmm0, (%rsi)") \
	X(520, AVX512, "", "vmovups (%rsi), %zmm0{%k1}") \
	X(521, AVX512, "", "vmovups (%rsi), %zmm0{%k1}{z}") \
	X(522, AVX512, "", "vmovups %zmm0, (%rsi){%k1}") \
	X(523, AVX512, "", "vmovups (%rsi), %ymm1") \
	X(524, AVX512, "", "vmovups %ymm1, (%rsi)") \
	X(525, AVX512, "", "vmovups (%rsi), %ymm1{%k1}") \
	X(526, AVX512, "", "vmovups (%rsi), %ymm1{%k1}{z}") \
	X(527, AVX512, "", "vmovups %ymm1, (%rsi){%k1}") \
	X(528, AVX512, "", "vmovups (%rsi), %xmm2") \
	X(529, AVX512, "", "vmovups %xmm2, (%rsi)") \
	X(530, AVX512, "", "vmovups (%rsi), %xmm2{%k1}") \
	X(531, AVX512, "", "vmovups (%rsi), %xmm2{%k1}{z}") \
	X(532, AVX512, "", "vmovups %xmm2, (%rsi){%k1}") \
	X(533, AVX512, "", "vmovups (%rsi), %zmm17") \
	X(534, AVX512, "", "vmovups %zmm17, (%rsi)") \
	X(535, AVX512, "", "vmovups (%rsi), %zmm17{%k1}") \
	X(536, AVX512, "", "vmovups (%rsi), %zmm17{%k1}{z}") \
	X(537, AVX512, "", "vmovups %zmm17, (%rsi){%k1}") \
	X(538, AVX512, "", "vmovupd (%rsi), %zmm0") \
	X(539, AVX512, "", "vmovupd %zmm0, (%rsi)") \
	X(540, AVX512, "", "vmovupd (%rsi), %zmm0{%k1}") \
	X(541, AVX512, "", "vmovupd (%rsi), %zmm0{%k1}{z}") \
	X(542, AVX512, "", "vmovupd %zmm0, (%rsi){%k1}") \
	X(543, AVX512, "", "vmovupd (%rsi), %ymm1") \
	X(544, AVX512, "", "vmovupd %ymm1, (%rsi)") \
	X(545, AVX512, "", "vmovupd (%rsi), %ymm1{%k1}") \
	X(546, AVX512, "", "vmovupd (%rsi), %ymm1{%k1}{z}") \
	X(547, AVX512, "", "vmovupd %ymm1, (%rsi){%k1}") \
	X(548, AVX512, "", "vmovupd (%rsi), %xmm2") \
	X(549, AVX512, "", "vmovupd %xmm2, (%rsi)") \
	X(550, AVX512, "", "vmovupd (%rsi), %xmm2{%k1}") \
	X(551, AVX512, "", "vmovupd (%rsi), %xmm2{%k1}{z}") \
	X(552, AVX512, "", "vmovupd %xmm2, (%rsi){%k1}") \
	X(553, AVX512, "", "vmovupd (%rsi), %zmm17") \
	X(554, AVX512, "", "vmovupd %zmm17, (%rsi)") \
	X(555, AVX512, "", "vmovupd (%rsi), %zmm17{%k1}") \
	X(556, AVX512, "", "vmovupd (%rsi), %zmm17{%k1}{z}") \
	X(557, AVX512, "", "vmovupd %zmm17, (%rsi){%k1}") \
	X(558, AVX512, "", "vmovdqu8 (%rsi), %zmm0") \
	X(559, AVX512, "", "vmovdqu8 %zmm0, (%rsi)") \
	X(560, AVX512, "", "vmovdqu8 (%rsi), %zmm0{%k1}") \
	X(561, AVX512, "", "vmovdqu8 (%rsi), %zmm0{%k1}{z}") \
	X(562, AVX512, "", "vmovdqu8 %zmm0, (%rsi){%k1}") \
	X(563, AVX512, "", "vmovdqu8 (%rsi), %ymm1") \
	X(564, AVX512, "", "vmovdqu8 %ymm1, (%rsi)") \
	X(565, AVX512, "", "vmovdqu8 (%rsi), %ymm1{%k1}") \
	X(566, AVX512, "", "vmovdqu8 (%rsi), %ymm1{%k1}{z}") \
	X(567, AVX512, "", "vmovdqu8 %ymm1, (%rsi){%k1}") \
	X(568, AVX512, "", "vmovdqu8 (%rsi), %xmm2") \
	X(569, AVX512, "", "vmovdqu8 %xmm2, (%rsi)") \
	X(570, AVX512, "", "vmovdqu8 (%rsi), %xmm2{%k1}") \
	X(571, AVX512, "", "vmovdqu8 (%rsi), %xmm2{%k1}{z}") \
	X(572, AVX512, "", "vmovdqu8 %xmm2, (%rsi){%k1}") \
	X(573, AVX512, "", "vmovdqu8 (%rsi), %zmm17") \
	X(574, AVX512, "", "vmovdqu8 %zmm17, (%rsi)") \
	X(575, AVX512, "", "vmovdqu8 (%rsi), %zmm17{%k1}") \
	X(576, AVX512, "", "vmovdqu8 (%rsi), %zmm17{%k1}{z}") \
	X(577, AVX512, "", "vmovdqu8 %zmm17, (%rsi){%k1}") \
	X(578, AVX512, "", "vmovdqu16 (%rsi), %zmm0") \
	X(579, AVX512, "", "vmovdqu16 %zmm0, (%rsi)") \
	X(580, AVX512, "", "vmovdqu16 (%rsi), %zmm0{%k1}") \
	X(581, AVX512, "", "vmovdqu16 (%rsi), %zmm0{%k1}{z}") \
	X(582, AVX512, "", "vmovdqu16 %zmm0, (%rsi){%k1}") \
	X(583, AVX512, "", "vmovdqu16 (%rsi), %ymm1") \
	X(584, AVX512, "", "vmovdqu16 %ymm1, (%rsi)") \
	X(585, AVX512, "", "vmovdqu16 (%rsi), %ymm1{%k1}") \
	X(586, AVX512, "", "vmovdqu16 (%rsi), %ymm1{%k1}{z}") \
	X(587, AVX512, "", "vmovdqu16 %ymm1, (%rsi){%k1}") \
	X(588, AVX512, "", "vmovdqu16 (%rsi), %xmm2") \
	X(589, AVX512, "", "vmovdqu16 %xmm2, (%rsi)") \
	X(590, AVX512, "", "vmovdqu16 (%rsi), %xmm2{%k1}") \
	X(591, AVX512, "", "vmovdqu16 (%rsi), %xmm2{%k1}{z}") \
	X(592, AVX512, "", "vmovdqu16 %xmm2, (%rsi){%k1}") \
	X(593, AVX512, "", "vmovdqu16 (%rsi), %zmm17") \
	X(594, AVX512, "", "vmovdqu16 %zmm17, (%rsi)") \
	X(595, AVX512, "", "vmovdqu16 (%rsi), %zmm17{%k1}") \
	X(596, AVX512, "", "vmovdqu16 (%rsi), %zmm17{%k1}{z}") \
	X(597, AVX512, "", "vmovdqu16 %zmm17, (%rsi){%k1}") \
	X(598, AVX512, "", "vmovdqu32 (%rsi), %zmm0") \
	X(599, AVX512, "", "vmovdqu32 %zmm0, (%rsi)") \
	X(600, AVX512, "", "vmovdqu32 (%rsi), %zmm0{%k1}") \
	X(601, AVX512, "", "vmovdqu32 (%rsi), %zmm0{%k1}{z}") \
	X(602, AVX512, "", "vmovdqu32 %zmm0, (%rsi){%k1}") \
	X(603, AVX512, "", "vmovdqu32 (%rsi), %ymm1") \
	X(604, AVX512, "", "vmovdqu32 %ymm1, (%rsi)") \
	X(605, AVX512, "", "vmovdqu32 (%rsi), %ymm1{%k1}") \
	X(606, AVX512, "", "vmovdqu32 (%rsi), %ymm1{%k1}{z}") \
	X(607, AVX512, "", "vmovdqu32 %ymm1, (%rsi){%k1}") \
	X(608, AVX512, "", "vmovdqu32 (%rsi), %xmm2") \
	X(609, AVX512, "", "vmovdqu32 %xmm2, (%rsi)") \
	X(610, AVX512, "", "vmovdqu32 (%rsi), %xmm2{%k1}") \
	X(611, AVX512, "", "vmovdqu32 (%rsi), %xmm2{%k1}{z}") \
	X(612, AVX512, "", "vmovdqu32 %xmm2, (%rsi){%k1}") \
	X(613, AVX512, "", "vmovdqu32 (%rsi), %zmm17") \
	X(614, AVX512, "", "vmovdqu32 %zmm17, (%rsi)") \
	X(615, AVX512, "", "vmovdqu32 (%rsi), %zmm17{%k1}") \
	X(616, AVX512, "", "vmovdqu32 (%rsi), %zmm17{%k1}{z}") \
	X(617, AVX512, "", "vmovdqu32 %zmm17, (%rsi){%k1}") \
	X(618, AVX512, "", "vmovdqu64 (%rsi), %zmm0") \
	X(619, AVX512, "", "vmovdqu64 %zmm0, (%rsi)") \
	X(620, AVX512, "", "vmovdqu64 (%rsi), %zmm0{%k1}") \
	X(621, AVX512, "", "vmovdqu64 (%rsi), %zmm0{%k1}{z}") \
	X(622, AVX512, "", "vmovdqu64 %zmm0, (%rsi){%k1}") \
	X(623, AVX512, "", "vmovdqu64 (%rsi), %ymm1") \
	X(624, AVX512, "", "vmovdqu64 %ymm1, (%rsi)") \
	X(625, AVX512, "", "vmovdqu64 (%rsi), %ymm1{%k1}") \
	X(626, AVX512, "", "vmovdqu64 (%rsi), %ymm1{%k1}{z}") \
	X(627, AVX512, "", "vmovdqu64 %ymm1, (%rsi){%k1}") \
	X(628, AVX512, "", "vmovdqu64 (%rsi), %xmm2") \
	X(629, AVX512, "", "vmovdqu64 %xmm2, (%rsi)") \
	X(630, AVX512, "", "vmovdqu64 (%rsi), %xmm2{%k1}") \
	X(631, AVX512, "", "vmovdqu64 (%rsi), %xmm2{%k1}{z}") \
	X(632, AVX512, "", "vmovdqu64 %xmm2, (%rsi){%k1}") \
	X(633, AVX512, "", "vmovdqu64 (%rsi), %zmm17") \
	X(634, AVX512, "", "vmovdqu64 %zmm17, (%rsi)") \
	X(635, AVX512, "", "vmovdqu64 (%rsi), %zmm17{%k1}") \
	X(636, AVX512, "", "vmovdqu64 (%rsi), %zmm17{%k1}{z}") \
	X(637, AVX512, "", "vmovdqu64 %zmm17, (%rsi){%k1}") \
	X(638, AVX512, "a", "vmovdqa32 (%rsi), %zmm0{%k1}") \
	X(639, AVX512, "a", "vmovdqa64 %zmm17, (%rsi)") \
	X(640, AVX512, "a", "vmovaps (%rsi), %zmm0") \
	X(641, AVX512, "a", "vmovntdq %zmm0, (%rsi)") \
	X(642, AVX512, "a", "vmovntdqa (%rsi), %zmm0") \
	X(643, AVX512, "", "vmovss (%rsi), %xmm0{%k1}{z}") \
	X(644, AVX512, "", "vmovsd %xmm0, (%rsi){%k1}") \
	X(645, AVX512, "", "vbroadcastss (%rsi), %zmm0{%k1}") \
	X(646, AVX512, "", "vpbroadcastq (%rsi), %zmm17") \
	X(647, AVX512, "", "vbroadcasti64x4 (%rsi), %zmm0{%k1}{z}") \
	X(648, AVX512, "", "vpaddd (%rsi){1to16}, %zmm1, %zmm0{%k1}") \
	X(649, AVX512, "", "vpaddq (%rsi), %zmm1, %zmm17") \
	X(650, AVX512, "", "vpcmpeqb (%rsi), %zmm1, %k1") \
	X(651, AVX512, "", "vextracti32x4 $2, %zmm0, (%rsi){%k1}") \
	X(652, AVX512, "", "vinserti64x4 $1, (%rsi), %zmm1, %zmm0") \
	X(653, AVX512, "", "vpcompressd %zmm0, (%rsi){%k1}") \
	X(654, AVX512, "", "vpexpandd (%rsi), %zmm0{%k1}") \
	X(655, AVX512, "", "vpmovdb %zmm0, (%rsi){%k1}") \
	X(656, AVX512, "", "vpmovzxbd (%rsi), %zmm0{%k1}{z}") \
	X(657, AVX512, "", "vpermd (%rsi), %zmm1, %zmm0{%k1}") \
	X(658, AVX512, "", "vpternlogd $0x96, (%rsi), %zmm1, %zmm0") \
	X(659, AVX512, "", "kmovb (%rsi), %k1") \
	X(660, AVX512, "", "kmovw %k1, (%rsi)") \
	X(661, AVX512, "", "kmovd (%rsi), %k1") \
	X(662, AVX512, "", "kmovq %k1, (%rsi)") \
	X(663, VBMI2, "", "vpcompressb %zmm0, (%rsi){%k1}") \
	X(664, VBMI2, "", "vpexpandw (%rsi), %zmm0{%k1}{z}") \
	X(665, DIRECT, "", "movdiri %eax, (%rsi)") \
	X(666, DIRECT, "", "movdiri %rax, (%rsi)") \
	X(667, DIRECT, "as", "movdir64b (%rsi), %rdi") \
	X(668, BASE, "", "flds (%rsi); fstpt 16(%rsi)") \
	X(669, BASE, "", "fldl (%rsi); fstpt 16(%rsi)") \
	X(670, BASE, "", "fldt (%rsi); fstpl 16(%rsi)") \
	X(671, BASE, "", "filds (%rsi); fstps 16(%rsi)") \
	X(672, BASE, "", "fildl (%rsi); fistpl 16(%rsi)") \
	X(673, BASE, "", "fildll (%rsi); fistpll 16(%rsi)") \
	X(674, BASE, "", "fnclex; fldl (%rsi); faddl 8(%rsi); fnstsw %ax; fstpl 16(%rsi)") \
	X(675, BASE, "", "fldl (%rsi); fmuls 8(%rsi); fstpl (%rsi)") \
	X(676, BASE, "", "fildl (%rsi); fdivrl 8(%rsi); fstpt 8(%rsi)") \
	X(677, BASE, "", "fldl (%rsi); fidivl 8(%rsi); fstpl 8(%rsi)") \
	X(678, BASE, "", "fnclex; fldl (%rsi); fcompl 8(%rsi); fnstsw 16(%rsi)") \
	X(679, BASE, "", "fldl (%rsi); fstl 3(%rsi); fistps 16(%rsi)") \
	X(680, BASE, "", "fbld (%rsi); fbstp 17(%rsi)") \
	X(681, BASE, "", "fnstcw 5(%rsi)") \
	X(682, BASE, "", "movq (%rsi), %mm0; paddb 8(%rsi), %mm0; movq %mm0, 16(%rsi); emms") \
	X(683, BASE, "", "movd (%rsi), %mm1; punpcklbw 4(%rsi), %mm1; pshufw $0x1b, 8(%rsi), %mm2; por %mm1, %mm2; movntq %mm2, 16(%rsi); emms") \
	X(684, BASE, "", "cvtpi2ps (%rsi), %xmm0; emms") \
	X(685, SSE42, "", "fldl (%rsi); fisttpll 16(%rsi)") \
	X(686, AVX2_, "i", "vpgatherdd %xmm2, (%rsi,%xmm1,4), %xmm0") \
	X(687, AVX2_, "i", "vgatherdps %xmm2, 8(%rsi,%xmm1,1), %xmm0") \
	X(688, AVX2_, "i", "vpgatherdq %xmm2, (%rsi,%xmm1,2), %xmm0") \
	X(689, AVX2_, "i", "vgatherdpd %xmm2, -8(%rsi,%xmm1,4), %xmm0") \
	X(690, AVX2_, "j", "vpgatherqd %xmm2, (%rsi,%xmm1,4), %xmm0") \
	X(691, AVX2_, "j", "vgatherqps %xmm2, (%rsi,%xmm1,2), %xmm0") \
	X(692, AVX2_, "j", "vpgatherqq %xmm2, (%rsi,%xmm1,4), %xmm0") \
	X(693, AVX2_, "j", "vgatherqpd %xmm2, 1(%rsi,%xmm1,1), %xmm0") \
	X(694, AVX2_, "i", "vpgatherdd %ymm2, (%rsi,%ymm1,4), %ymm0") \
	X(695, AVX2_, "i", "vgatherdps %ymm2, 8(%rsi,%ymm1,1), %ymm0") \
	X(696, AVX2_, "i", "vpgatherdq %ymm2, (%rsi,%xmm1,2), %ymm0") \
	X(697, AVX2_, "i", "vgatherdpd %ymm2, -8(%rsi,%xmm1,4), %ymm0") \
	X(698, AVX2_, "j", "vpgatherqd %xmm2, (%rsi,%ymm1,4), %xmm0") \
	X(699, AVX2_, "j", "vgatherqps %xmm2, (%rsi,%ymm1,2), %xmm0") \
	X(700, AVX2_, "j", "vpgatherqq %ymm2, (%rsi,%ymm1,4), %ymm0") \
	X(701, AVX2_, "j", "vgatherqpd %ymm2, 1(%rsi,%ymm1,1), %ymm0") \
	X(702, AVX512, "i", "vpgatherdd (%rsi,%xmm1,4), %xmm0{%k1}") \
	X(703, AVX512, "i", "vpscatterdd %xmm0, 8(%rsi,%xmm1,4){%k1}") \
	X(704, AVX512, "i", "vpgatherdq (%rsi,%xmm1,4), %xmm0{%k1}") \
	X(705, AVX512, "i", "vpscatterdq %xmm0, 8(%rsi,%xmm1,4){%k1}") \
	X(706, AVX512, "j", "vpgatherqd (%rsi,%xmm1,4), %xmm0{%k1}") \
	X(707, AVX512, "j", "vpscatterqd %xmm0, 8(%rsi,%xmm1,4){%k1}") \
	X(708, AVX512, "j", "vpgatherqq (%rsi,%xmm1,4), %xmm0{%k1}") \
	X(709, AVX512, "j", "vpscatterqq %xmm0, 8(%rsi,%xmm1,4){%k1}") \
	X(710, AVX512, "i", "vgatherdps (%rsi,%xmm1,2), %xmm17{%k1}") \
	X(711, AVX512, "i", "vscatterdps %xmm17, (%rsi,%xmm1,1){%k1}") \
	X(712, AVX512, "i", "vgatherdpd (%rsi,%xmm1,2), %xmm17{%k1}") \
	X(713, AVX512, "i", "vscatterdpd %xmm17, (%rsi,%xmm1,1){%k1}") \
	X(714, AVX512, "j", "vgatherqps (%rsi,%xmm1,2), %xmm17{%k1}") \
	X(715, AVX512, "j", "vscatterqps %xmm17, (%rsi,%xmm1,1){%k1}") \
	X(716, AVX512, "j", "vgatherqpd (%rsi,%xmm1,2), %xmm17{%k1}") \
	X(717, AVX512, "j", "vscatterqpd %xmm17, (%rsi,%xmm1,1){%k1}") \
	X(718, AVX512, "i", "vpgatherdd (%rsi,%ymm1,4), %ymm0{%k1}") \
	X(719, AVX512, "i", "vpscatterdd %ymm0, 8(%rsi,%ymm1,4){%k1}") \
	X(720, AVX512, "i", "vpgatherdq (%rsi,%xmm1,4), %ymm0{%k1}") \
	X(721, AVX512, "i", "vpscatterdq %ymm0, 8(%rsi,%xmm1,4){%k1}") \
	X(722, AVX512, "j", "vpgatherqd (%rsi,%ymm1,4), %xmm0{%k1}") \
	X(723, AVX512, "j", "vpscatterqd %xmm0, 8(%rsi,%ymm1,4){%k1}") \
	X(724, AVX512, "j", "vpgatherqq (%rsi,%ymm1,4), %ymm0{%k1}") \
	X(725, AVX512, "j", "vpscatterqq %ymm0, 8(%rsi,%ymm1,4){%k1}") \
	X(726, AVX512, "i", "vgatherdps (%rsi,%ymm1,2), %ymm17{%k1}") \
	X(727, AVX512, "i", "vscatterdps %ymm17, (%rsi,%ymm1,1){%k1}") \
	X(728, AVX512, "i", "vgatherdpd (%rsi,%xmm1,2), %ymm17{%k1}") \
	X(729, AVX512, "i", "vscatterdpd %ymm17, (%rsi,%xmm1,1){%k1}") \
	X(730, AVX512, "j", "vgatherqps (%rsi,%ymm1,2), %xmm17{%k1}") \
	X(731, AVX512, "j", "vscatterqps %xmm17, (%rsi,%ymm1,1){%k1}") \
	X(732, AVX512, "j", "vgatherqpd (%rsi,%ymm1,2), %ymm17{%k1}") \
	X(733, AVX512, "j", "vscatterqpd %ymm17, (%rsi,%ymm1,1){%k1}") \
	X(734, AVX512, "i", "vpgatherdd (%rsi,%zmm1,4), %zmm0{%k1}") \
	X(735, AVX512, "i", "vpscatterdd %zmm0, 8(%rsi,%zmm1,4){%k1}") \
	X(736, AVX512, "i", "vpgatherdq (%rsi,%ymm1,4), %zmm0{%k1}") \
	X(737, AVX512, "i", "vpscatterdq %zmm0, 8(%rsi,%ymm1,4){%k1}") \
	X(738, AVX512, "j", "vpgatherqd (%rsi,%zmm1,4), %ymm0{%k1}") \
	X(739, AVX512, "j", "vpscatterqd %ymm0, 8(%rsi,%zmm1,4){%k1}") \
	X(740, AVX512, "j", "vpgatherqq (%rsi,%zmm1,4), %zmm0{%k1}") \
	X(741, AVX512, "j", "vpscatterqq %zmm0, 8(%rsi,%zmm1,4){%k1}") \
	X(742, AVX512, "i", "vgatherdps (%rsi,%zmm1,2), %zmm17{%k1}") \
	X(743, AVX512, "i", "vscatterdps %zmm17, (%rsi,%zmm1,1){%k1}") \
	X(744, AVX512, "i", "vgatherdpd (%rsi,%ymm1,2), %zmm17{%k1}") \
	X(745, AVX512, "i", "vscatterdpd %zmm17, (%rsi,%ymm1,1){%k1}") \
	X(746, AVX512, "j", "vgatherqps (%rsi,%zmm1,2), %ymm17{%k1}") \
	X(747, AVX512, "j", "vscatterqps %ymm17, (%rsi,%zmm1,1){%k1}") \
	X(748, AVX512, "j", "vgatherqpd (%rsi,%zmm1,2), %zmm17{%k1}") \
	X(749, AVX512, "j", "vscatterqpd %zmm17, (%rsi,%zmm1,1){%k1}") \
	X(750, BASE, "", "stmxcsr (%rsi)") \
	X(751, AVX_, "", "vstmxcsr (%rsi)") \
	X(752, BASE, "m", "ldmxcsr (%rsi)") \
	X(753, AVX_, "m", "vldmxcsr (%rsi)") \
	X(754, BASE, "m", "ldmxcsr (%rsi); stmxcsr 8(%rsi)") \
	X(755, BASE, "", "fnstsw (%rsi)") \
	X(756, BASE, "", "fldcw (%rsi)") \
	X(757, BASE, "", "fldcw (%rsi); fnstcw 8(%rsi)") \
	X(758, BASE, "", "fnstenv (%rsi)") \
	X(759, BASE, "", "data16 fnstenv (%rsi)") \
	X(760, BASE, "", "fld1; fldpi; fnstenv (%rsi); movq $0, 12(%rsi); movq $0, 20(%rsi)") \
	X(761, BASE, "", "fldenv (%rsi)") \
	X(762, BASE, "", "fldenv (%rsi); fnstenv 64(%rsi); movq $0, 76(%rsi); movq $0, 84(%rsi)") \
	X(763, BASE, "", "fnsave (%rsi)") \
	X(764, BASE, "", "data16 fnsave (%rsi)") \
	X(765, BASE, "", "fld1; fldpi; fnsave (%rsi); movq $0, 12(%rsi); movq $0, 20(%rsi)") \
	X(766, BASE, "", "frstor (%rsi)") \
	X(767, BASE, "", "frstor (%rsi); fnsave 128(%rsi); movq $0, 140(%rsi); movq $0, 148(%rsi)") \
	X(768, BASE, "a", "fxsave (%rsi)") \
	X(769, BASE, "a", "fxsave64 (%rsi)") \
	X(770, BASE, "a", "fldl2t; fxsave64 (%rsi)") \
	X(771, BASE, "af", "fxrstor (%rsi)") \
	X(772, BASE, "af", "fxrstor64 (%rsi)")
